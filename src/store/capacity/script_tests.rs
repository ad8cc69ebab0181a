//! The scripts against the law, on a real `redis-server`.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::{
    gates::{Gates, Tell},
    law::{Gate, Seen},
    truth::Occupancy,
};
use crate::{
    redis::{Redis, RedisConfig},
    support::RedisServer,
};

const CAPACITY: u64 = 20;
const GAMES: u64 = 60;
const MOVES: usize = 60;

/// What a gate should be, and how many releases it has heard of.
struct Model {
    gate: Gate,
    released: usize,
}

/// A take whose outcome the gate has not been told yet.
struct UnderWay {
    seats: u32,
    at: u64,
    released: usize,
}

impl Model {
    fn give_back(&mut self, seats: u32) {
        if let Gate::Known { left } = self.gate {
            self.gate = Gate::Known { left: (left + u64::from(seats)).min(CAPACITY) };
        }
    }

    fn tell(&mut self, asked: &UnderWay, tell: Tell) {
        let is_stale = self.released > asked.released;
        match tell {
            Tell::Back => self.give_back(asked.seats),
            Tell::Seed(truth) if !is_stale && self.gate == Gate::Unknown => {
                self.gate = Gate::Known { left: truth.left() };
            }
            Tell::Seed(_) => {}
            Tell::Set(truth) if !is_stale => self.gate = Gate::Known { left: truth.left() },
            Tell::Set(_) => self.give_back(asked.seats),
        }
    }

    fn release(&mut self, seats: Option<u32>) {
        self.released += 1;
        match seats {
            Some(seats) => self.give_back(seats),
            None => self.gate = Gate::Unknown,
        }
    }

    /// Whether it had to be mended.
    fn reconcile(&mut self, truth: Occupancy, begun: usize) -> bool {
        let right = Gate::Known { left: truth.left() };
        let is_wrong = self.gate != Gate::Unknown && self.gate != right;
        if is_wrong {
            self.gate = if self.released > begun { Gate::Unknown } else { right };
        }
        is_wrong
    }
}

#[tokio::test]
async fn the_scripts_decide_as_the_law_does() {
    let server = RedisServer::start().await;
    let redis = Redis::new(RedisConfig::new(server.url().parse().unwrap())).unwrap();
    assert!(redis.monitor().wait_available(Duration::from_secs(20)).await);
    let gates = Gates::new(&redis, "law", Duration::from_secs(600));
    let connection = &mut redis.connection();
    for game in 0..GAMES {
        let mut random = StdRng::seed_from_u64(game);
        let event = &game.to_string();
        let mut model = Model { gate: Gate::Unknown, released: 0 };
        let mut asked: Vec<UnderWay> = Vec::new();
        let (mut begun, mut begun_at) = (0, 0);
        for step in 0..MOVES {
            let seats = random.random_range(1..8_u32);
            let truth = Occupancy::new(CAPACITY, random.random_range(0..=CAPACITY));
            match random.random_range(0..6) {
                0 | 1 => {
                    let take = gates.take(connection, event, 0, seats).await.unwrap();
                    let (seen, gate) = model.gate.take(seats.into());
                    assert_eq!(take.seen, seen, "game {game}, move {step}");
                    model.gate = gate;
                    if seen != Seen::Full {
                        asked.push(UnderWay { seats, at: take.at, released: model.released });
                    }
                }
                2 | 3 if !asked.is_empty() => {
                    let asked = asked.swap_remove(random.random_range(0..asked.len()));
                    let tells = [Tell::Back, Tell::Seed(truth), Tell::Set(truth)];
                    let tell = tells[random.random_range(0..3)];
                    let (at, seats) = (asked.at, asked.seats);
                    gates.settle(connection, event, 0, at, seats, tell).await.unwrap();
                    model.tell(&asked, tell);
                }
                4 => {
                    let seats = random.random_bool(0.7).then_some(seats);
                    gates.release(connection, event, 0, seats).await.unwrap();
                    model.release(seats);
                }
                _ if begun_at == 0 || random.random_bool(0.5) => {
                    (begun, begun_at) = (model.released, gates.now(connection).await.unwrap());
                }
                _ => {
                    let mended = gates.reconcile(connection, event, 0, truth, begun_at).await;
                    let should = model.reconcile(truth, begun);
                    assert_eq!(mended.unwrap(), should, "game {game}, move {step}");
                }
            }
            let gate = gates.look(connection, event, 0).await.unwrap();
            assert_eq!(gate, model.gate, "game {game}, move {step}");
        }
    }
    redis.shutdown().await;
}
