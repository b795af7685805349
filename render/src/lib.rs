//! Charts of series with the deploys drawn on them.
