//! Publish and subscribe between instances: at once within this one, through Redis to the others.
//!
//! A [`PubSub`] has named [channels](PubSub::channel). What is published on one reaches the
//! subscribers in this process directly, and those of other instances through Redis, each once.
//! While Redis is away it reaches this process alone, and [`publish`](Channel::publish) says so;
//! subscribers learn of every stretch in which they may have missed something. Nobody has to
//! subscribe again.
//!
//! | | Redis serves | it is away | it is back |
//! | --- | --- | --- | --- |
//! | `publish` | here at once, then to Redis: [`Delivered`](Delivery::Delivered) | here at once: [`LocalOnly`](Delivery::LocalOnly), never an error, no queue | as before |
//! | `subscribe` | returns when Redis has acknowledged | returns at once; [`Mode`](Event::Mode) is the first event | [`Gap`](Event::Gap), then `Mode` |
//! | messages | in the order of each publisher, once | of this instance | as before |
//!
//! Redis keeps no messages for who is away. After a [`Gap`](Event::Gap) or
//! [`Lagged`](Event::Lagged) read what the messages are about from where it is kept.
//!
//! # Bounds
//!
//! A subscriber is never waited for. Each channel keeps its last messages
//! ([`with_buffer`](PubSubBuilder::with_buffer)) for the subscribers in this process; one that
//! falls behind them is told how many it lost. A message has a
//! [largest size](PubSubBuilder::with_max_message_bytes), for what is published and for what is
//! heard.
//!
//! ```no_run
//! use evenkeel::store::pubsub::{Event, Json, PubSub};
//!
//! # async fn demo(redis: &evenkeel::redis::Redis) -> Result<(), evenkeel::Error> {
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Line { from: String, body: String }
//!
//! let pubsub = PubSub::new(redis)?;
//! let room = pubsub.channel::<Json<Line>>("room:42")?;
//! let mut lines = room.subscribe().await;
//! let line = Line { from: "ann".into(), body: "hello".into() };
//! if !room.publish(&Json(line)).await?.is_delivered() {
//!     println!("only this instance has heard it");
//! }
//! while let Some(event) = lines.recv().await {
//!     match event {
//!         Event::Message(message) => println!("{}", message.value.0.body),
//!         Event::Mode(reach) => println!("{reach:?}"),
//!         // `Gap`, `Lagged`
//!         _ => println!("reading the room's history again"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod builder;
mod channel;
mod envelope;
mod event;
mod glob;
mod handle;
mod hub;
mod local;
mod locals;
mod metrics;
mod order;
mod payload;
mod publisher;
mod subscriber;

pub use builder::{PubSub, PubSubBuilder};
pub use channel::{Channel, Pattern};
pub use event::{Delivery, Event, Gap, Message, Missed, Reach};
pub use payload::{Json, Payload};
pub use subscriber::Subscriber;
