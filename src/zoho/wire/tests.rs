//! Golden bodies
