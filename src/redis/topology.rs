//! How the servers behind one address are arranged.

/// How the servers behind a URL are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Topology {
    /// One server.
    Standalone,
    /// A master found through sentinels (feature `sentinel`).
    Sentinel,
    /// A Redis Cluster (feature `cluster`).
    Cluster,
}

impl Topology {
    /// The word in health answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Standalone => "standalone",
            Self::Sentinel => "sentinel",
            Self::Cluster => "cluster",
        }
    }
}
