// Sends the StatsD traffic of some services through the npm package `hot-shots`, as the services would.
//
//   traffic.mjs HOST PORT SERVICE...
//
// Each service answers 100 requests a second; one in 100 fails. A line `fail SERVICE SHARE` on standard input changes
// the share that fails. Ends when standard input does.

import { createInterface } from 'node:readline';
import { StatsD } from 'hot-shots';

const TICK_MS = 100;
const REQUESTS_PER_TICK = 10;

const [host, port, ...services] = process.argv.slice(2);
const failing = new Map(services.map((service) => [service, 0.01]));

// A buffer packs several metrics into one packet, as hot-shots is run in production.
const client = new StatsD({
  host,
  port: Number(port),
  maxBufferSize: 1400,
  bufferFlushInterval: 50,
  errorHandler: (error) => console.error(error),
});

function tick() {
  for (const service of services) {
    let errors = 0;
    for (let request = 0; request < REQUESTS_PER_TICK; request++) {
      if (Math.random() < failing.get(service)) errors++;
    }
    client.increment(`${service}.http.requests`, REQUESTS_PER_TICK);
    if (errors > 0) client.increment(`${service}.http.5xx`, errors);
    client.timing(`${service}.http.latency`, 45 + 20 * Math.random());
    client.set(`${service}.visitors`, Math.floor(100 * Math.random()));
  }
  client.increment('clients.node.ticks');
}

const timer = setInterval(tick, TICK_MS);
const orders = createInterface({ input: process.stdin });
orders.on('line', (line) => {
  const [, service, share] = line.split(' ');
  failing.set(service, Number(share));
});
orders.on('close', () => {
  clearInterval(timer);
  client.close();
});
