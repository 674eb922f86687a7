use super::case::Case; pub fn cases() -> Vec<Case> { Vec::new() }
pub const SHOWN_ELSEWHERE: [(&str, &str); 0] = [];
