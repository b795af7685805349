//! Series at rest, their names, and the catalog of deploys and incidents.
