//! Floods of handshakes, guesses and tokens: who is served meanwhile, what it costs in memory, which numbers tell of it,
//! and that it is over when it is over.

mod guesses;
mod handshakes;
mod tokens;
