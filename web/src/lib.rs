//! Every HTTP route, and the pages.
