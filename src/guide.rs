//! The guides, which are also the folder `docs` of the repository.
//!
//! [`settings`], [`health`], [`layers`], [`rate_limit`], [`sessions`], [`guards`], [`cache`],
//! [`capacity_and_jobs`], [`pubsub_and_presence`], [`migrating`], [`glossary`], [`benchmarks`].

macro_rules! guides {
    ($($name:ident $file:literal)*) => {
        $(
            // The links of the files lead from file to file; here they lead from module to module.
            /// [cache.md]: crate::guide::cache
            /// [glossary.md]: crate::guide::glossary
            /// [guards.md]: crate::guide::guards
            /// [guards.md#a-redis-that-evicts]: crate::guide::guards#a-redis-that-evicts
            /// [health.md]: crate::guide::health
            /// [health.md#evictions]: crate::guide::health#evictions
            /// [health.md#rights]: crate::guide::health#rights
            /// [rate-limit.md]: crate::guide::rate_limit
            #[doc = ""]
            #[doc = include_str!(concat!("../docs/", $file))]
            pub mod $name {}
        )*
    };
}

guides! {
    benchmarks "benchmarks.md"
    cache "cache.md"
    capacity_and_jobs "capacity-and-jobs.md"
    glossary "glossary.md"
    guards "guards.md"
    health "health.md"
    layers "layers.md"
    migrating "migrating.md"
    pubsub_and_presence "pubsub-and-presence.md"
    rate_limit "rate-limit.md"
    sessions "sessions.md"
    settings "settings.md"
}
