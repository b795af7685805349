//! A synthetic shop: services with traffic, errors and latencies, repeatable by its seed.

use std::fmt::Write;

/// One service of the shop and how it behaves when all is well.
struct Service {
    name: &'static str,
    requests_per_s: f64,
    error_ratio: f64,
    latency_ms: f64,
    depends_on: &'static [&'static str],
}

const SERVICES: [Service; 6] = [
    Service {
        name: "checkout",
        requests_per_s: 620.0,
        error_ratio: 0.004,
        latency_ms: 180.0,
        depends_on: &["auth", "payments", "cart"],
    },
    Service { name: "search", requests_per_s: 1100.0, error_ratio: 0.0012, latency_ms: 95.0, depends_on: &[] },
    Service { name: "cart", requests_per_s: 450.0, error_ratio: 0.002, latency_ms: 60.0, depends_on: &["auth"] },
    Service { name: "auth", requests_per_s: 800.0, error_ratio: 0.0015, latency_ms: 35.0, depends_on: &[] },
    Service { name: "payments", requests_per_s: 210.0, error_ratio: 0.005, latency_ms: 310.0, depends_on: &[] },
    Service { name: "images", requests_per_s: 1300.0, error_ratio: 0.0006, latency_ms: 22.0, depends_on: &[] },
];

/// Timer samples that one flush interval sends for a service: as many as a client with a sample rate would.
const TIMER_SAMPLES: usize = 60;

/// The shop, moving from one flush interval to the next.
pub struct Shop {
    rng: fastrand::Rng,
    /// Slowly wandering log-load, one a service.
    load: [f64; SERVICES.len()],
    /// The service whose errors are raised, and by which factor.
    broken: Option<(&'static str, f64)>,
}

/// What one service did in one interval.
pub struct Interval {
    /// The service.
    pub service: &'static str,
    /// Requests answered.
    pub requests: u64,
    /// Of these, with a 5xx.
    pub errors: u64,
    /// Some of the latencies, in milliseconds.
    pub latencies_ms: Vec<f64>,
}

impl Shop {
    /// A shop in good health.
    pub fn new(seed: u64) -> Self {
        Self { rng: fastrand::Rng::with_seed(seed), load: [0.0; SERVICES.len()], broken: None }
    }

    /// The names of its services.
    pub fn services() -> impl Iterator<Item = &'static str> {
        SERVICES.iter().map(|service| service.name)
    }

    /// Its services as the configuration names them.
    pub fn services_toml() -> String {
        SERVICES.iter().fold(String::new(), |mut toml, service| {
            let _ = writeln!(toml, "[service.{}]\ndepends_on = {:?}", service.name, service.depends_on);
            toml
        })
    }

    /// From now on `service` fails `factor` times as often.
    pub fn break_errors(&mut self, service: &'static str, factor: f64) {
        self.broken = Some((service, factor));
    }

    /// From now on all is well again.
    pub fn mend(&mut self) {
        self.broken = None;
    }

    /// What every service does in the next `seconds`.
    pub fn next(&mut self, seconds: f64) -> Vec<Interval> {
        (0..SERVICES.len()).map(|index| self.next_of(index, seconds)).collect()
    }

    fn next_of(&mut self, index: usize, seconds: f64) -> Interval {
        let service = &SERVICES[index];
        self.load[index] = 0.95 * self.load[index] + 0.02 * self.normal();
        let requests = self.poisson(service.requests_per_s * seconds * self.load[index].exp());
        let factor = match self.broken {
            Some((name, factor)) if name == service.name => factor,
            _ => 1.0,
        };
        let errors = self.poisson(requests as f64 * (service.error_ratio * factor).min(0.9)).min(requests);
        let middle = service.latency_ms * (0.03 * self.normal()).exp();
        let latencies_ms = (0..TIMER_SAMPLES).map(|_| middle * (0.45 * self.normal()).exp()).collect();
        Interval { service: service.name, requests, errors, latencies_ms }
    }

    /// A standard normal deviate (Box and Muller, 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.rng.f64()).cos()
    }

    /// A Poisson deviate: by counting exponential gaps where the mean is small, else rounded from the normal.
    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 50.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let limit = (-mean).exp();
        let (mut count, mut product) = (0, self.rng.f64());
        while product > limit {
            count += 1;
            product *= self.rng.f64();
        }
        count
    }
}

impl Interval {
    /// The StatsD packets that a client of this service sends over the interval, each within a usual MTU.
    pub fn packets(&self) -> Vec<String> {
        const MAX_PACKET_BYTES: usize = 1400;
        let counters = [("http.requests", self.requests), ("http.5xx", self.errors)];
        let lines = counters
            .iter()
            .map(|(name, count)| format!("{}.{name}:{count}|c", self.service))
            .chain(self.latencies_ms.iter().map(|ms| format!("{}.http.latency:{ms:.1}|ms", self.service)));
        let mut packets = vec![String::new()];
        for line in lines {
            let last = packets.len() - 1;
            if packets[last].len() + line.len() + 1 > MAX_PACKET_BYTES {
                packets.push(line);
            } else if packets[last].is_empty() {
                packets[last] = line;
            } else {
                packets[last] += "\n";
                packets[last] += &line;
            }
        }
        packets
    }

    /// The Graphite lines that StatsD's flush makes of the interval, for filling in the past.
    pub fn lines(&self, timestamp_s: i64) -> String {
        let mut sorted = self.latencies_ms.clone();
        sorted.sort_by(f64::total_cmp);
        let upper_95 = sorted[(sorted.len() * 95).div_ceil(100) - 1];
        let median = (sorted[sorted.len() / 2] + sorted[(sorted.len() - 1) / 2]) / 2.0;
        let Self { service, requests, errors, .. } = self;
        format!(
            "stats.counters.{service}.http.requests.count {requests} {timestamp_s}\n\
             stats.counters.{service}.http.5xx.count {errors} {timestamp_s}\n\
             stats.timers.{service}.http.latency.upper_95 {upper_95:.1} {timestamp_s}\n\
             stats.timers.{service}.http.latency.median {median:.1} {timestamp_s}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(shop: &mut Shop) -> u64 {
        (0..200).flat_map(|_| shop.next(2.0)).filter(|i| i.service == "checkout").map(|i| i.errors).sum()
    }

    #[test]
    fn the_same_seed_is_the_same_shop() {
        let lines = |seed| Shop::new(seed).next(2.0).iter().map(|i| i.lines(0)).collect::<String>();
        assert_eq!(lines(7), lines(7));
        assert_ne!(lines(7), lines(8));
    }

    #[test]
    fn breaking_a_service_raises_its_errors_and_mending_takes_them_back() {
        let mut shop = Shop::new(1);
        let healthy = errors(&mut shop);
        shop.break_errors("checkout", 12.0);
        let broken = errors(&mut shop);
        shop.mend();
        let mended = errors(&mut shop);
        assert!(broken > 8 * healthy && broken > 8 * mended, "{healthy} {broken} {mended}");
    }

    #[test]
    fn packets_hold_every_metric_and_stay_within_an_mtu() {
        let interval = &Shop::new(3).next(2.0)[0];
        let packets = interval.packets();
        assert!(packets.iter().all(|p| !p.is_empty() && p.len() <= 1400));
        assert_eq!(packets.iter().map(|p| p.lines().count()).sum::<usize>(), 2 + TIMER_SAMPLES);
    }
}
