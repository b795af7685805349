//! An ordered, durable, replayable log of topics, embedded or on Kafka.
