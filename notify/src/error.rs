//! What can go wrong between an incident and a channel.

/// Why the notifier cannot go on. A channel that refuses a message is not among these: that becomes a dead letter.
#[derive(Debug, thiserror::Error)]
pub enum NotifyError {
    /// The configuration makes no sense; a person must mend it.
    #[error("{problem}")]
    Config {
        /// A sentence that names the entry at fault.
        problem: String,
    },
}
