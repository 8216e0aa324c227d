//! nlpress
