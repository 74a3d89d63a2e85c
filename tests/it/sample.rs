//! How much is played. `cargo test` plays a sample of the long lists, always the same;
//! `CHANNELKEEPER_TESTS=whole` plays all of them, as `.ci/run` does with the optimised program.

/// Every `nth` of them, the first one included.
pub(crate) fn sample<T>(all: impl IntoIterator<Item = T>, nth: usize) -> impl Iterator<Item = T> {
    all.into_iter().step_by(if is_whole() { 1 } else { nth })
}

/// How often something random is done, of `whole` times.
pub(crate) fn times(whole: u32, nth: u32) -> u32 {
    if is_whole() { whole } else { whole / nth }
}

fn is_whole() -> bool {
    std::env::var_os("CHANNELKEEPER_TESTS").is_some_and(|which| which == "whole")
}
