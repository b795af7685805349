//! A small shop on a server: a past, live traffic from both StatsD clients, and a chat that is told.

use std::time::Duration;

use anyhow::ensure;
use deployline_schemas::{UnixMillis, time::wall_clock};

use crate::{
    github::Deployment,
    receiver::Receiver,
    server::{Bus, Server, Settings},
    traffic::{Library, Traffic, fill_in_the_past},
};

/// The shop's services.
pub const SERVICES: [&str; 4] = ["checkout", "cart", "search", "images"];
/// The flush interval: a tenth of StatsD's, so that minutes of evidence come in seconds.
pub const FLUSH_S: u64 = 1;
/// How much of the past is filled in.
const PAST: Duration = Duration::from_secs(2 * 3600);
/// The share of a broken service's requests that fail.
const BROKEN: f64 = 0.3;
/// The share that fails when all is well, as the clients know it from the start.
const HEALTHY: f64 = 0.01;

/// The shop.
#[derive(Debug)]
pub struct Shop {
    /// Where everything is sent.
    pub server: Server,
    /// Where alerts come out.
    pub chat: Receiver,
    traffic: [Traffic; 2],
    next_id: u64,
}

impl Shop {
    /// Opens a shop with a past and live, healthy traffic. The seed decides the past.
    ///
    /// # Errors
    /// When the server does not get ready, or a client is not set up.
    pub fn open(bus: Bus, seed: u64) -> anyhow::Result<Self> {
        let chat = Receiver::listen()?;
        let settings = Settings { bus, flush_s: FLUSH_S, webhook: Some(chat.url()), ..Settings::default() };
        let server = Server::start(&settings)?;
        let until_s = now().as_secs();
        fill_in_the_past(
            server.ports.carbon,
            &SERVICES,
            until_s - PAST.as_secs() as i64,
            until_s,
            FLUSH_S as i64,
            seed,
        )?;
        let start = |library| Traffic::start(library, server.ports.statsd, &SERVICES);
        let traffic = [start(Library::Statsd)?, start(Library::HotShots)?];
        Ok(Self { server, chat, traffic, next_id: 145_988_746 })
    }

    /// Deploys a service as GitHub tells of it: created a second ago, a success now.
    ///
    /// # Errors
    /// When a delivery is not taken.
    pub fn deploy(&mut self, service: &str, login: &str) -> anyhow::Result<Deployment> {
        let deployment = self.deployment(service, login);
        self.tell(&deployment)?;
        Ok(deployment)
    }

    /// Rolls a service back, as GitHub tells of it.
    ///
    /// # Errors
    /// When a delivery is not taken.
    pub fn roll_back(&mut self, service: &str, login: &str) -> anyhow::Result<Deployment> {
        let deployment = self.deployment(service, login).as_rollback();
        self.tell(&deployment)?;
        Ok(deployment)
    }

    fn tell(&self, deployment: &Deployment) -> anyhow::Result<()> {
        for delivery in [deployment.created(), deployment.status("success", now())] {
            let answer = self.server.deliver(&delivery)?;
            ensure!(answer.status == 202, "{} answered {}: {}", delivery.event, answer.status, answer.text());
        }
        Ok(())
    }

    /// A deployment with a number of its own, begun a second ago; nobody has been told of it.
    pub fn deployment(&mut self, service: &str, login: &str) -> Deployment {
        self.next_id += 1;
        Deployment::new(self.next_id, service, login, now().minus(Duration::from_secs(1)))
    }

    /// Lets a good part of a service's requests fail from now on.
    ///
    /// # Errors
    /// When a client has ended.
    pub fn break_service(&mut self, service: &str) -> anyhow::Result<()> {
        self.traffic.iter_mut().try_for_each(|client| client.fail(service, BROKEN))
    }

    /// Lets a service's requests fail as rarely as when the shop opened.
    ///
    /// # Errors
    /// When a client has ended.
    pub fn mend_service(&mut self, service: &str) -> anyhow::Result<()> {
        self.traffic.iter_mut().try_for_each(|client| client.fail(service, HEALTHY))
    }
}

/// The machine's clock, which the server goes by too.
pub fn now() -> UnixMillis {
    wall_clock()()
}

/// The counter of a service's failed requests, as the store knows it.
pub fn errors_of(service: &str) -> String {
    format!("stats.counters.{service}.http.5xx.count")
}
