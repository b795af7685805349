//! What a deploy moved.
