#!/usr/bin/env bash
# Runs one Apache Kafka node on loopback, from Maven Central's jars: for the tests and the demo, not for production.
#   kafka.sh fetch | start | stop | kill9 | status | wipe
#     fetch   downloads the broker (43 MB, once)       start   formats the storage if new, starts, waits until ready
#     stop    ends it by its own pid, cleanly          kill9   ends it as a crash would
#     status  exit code 0 running, 3 stopped           wipe    stops it and forgets its records
# Environment, all optional:
#   KAFKA_DATA   records, log and pid                (default .cache/kafka of the repository)
#   KAFKA_LIB    the broker's jars, shareable        (default .cache/kafka/lib of the repository)
#   KAFKA_PORT   client port, on 127.0.0.1           (default 19092)
#   KAFKA_CPORT  controller port, on 127.0.0.1       (default KAFKA_PORT+1)
#   KAFKA_HEAP   the JVM's heap                      (default 256m)
#   KAFKA_WAIT   seconds to wait until it is ready   (default 90)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$(cd "$here/../.." && pwd)/.cache/kafka
data=${KAFKA_DATA:-$cache}
lib=${KAFKA_LIB:-$cache/lib}
port=${KAFKA_PORT:-19092}
controller_port=${KAFKA_CPORT:-$((port + 1))}
heap=${KAFKA_HEAP:-256m}
wait_s=${KAFKA_WAIT:-90}
stop_wait_s=20
mkdir -p "$data" "$lib"
data=$(cd "$data" && pwd)
lib=$(cd "$lib" && pwd)
pid_file=$data/kafka.pid
log=$data/kafka.log
properties=$data/server.properties
# The C1 compiler and the serial collector: half the memory of the defaults, and a faster start.
jvm=(-Xmx"$heap" -Xms64m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto
     -Dlog4j2.configurationFile="$here/log4j2.properties")

# A pid outlives its process and is given out anew, so the command line is looked at too.
running() {
  [ -s "$pid_file" ] && kill -0 "$(cat "$pid_file")" 2>/dev/null &&
    tr '\0' ' ' <"/proc/$(cat "$pid_file")/cmdline" 2>/dev/null | grep -qF "$properties"
}

need() {
  command -v "$1" >/dev/null || { echo "kafka.sh: \`$1\` is missing; on Debian: apt-get install $2" >&2; exit 1; }
}

# The jars are complete when the copy of the pom that named them is there.
fetch() {
  cmp -s "$lib/.complete" "$here/pom.xml" && return 0
  need mvn maven
  rm -f "$lib"/*.jar
  mvn -q -B -ntp -f "$here/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$lib"
  cp "$here/pom.xml" "$lib/.complete"
}

format() {
  [ -e "$data/log/meta.properties" ] && return 0
  java "${jvm[@]}" -cp "$lib/*" kafka.tools.StorageTool format -t AAAAAAAAAAAAAAAAAAAAAQ -c "$properties" \
    >"$data/format.log" 2>&1 || { cat "$data/format.log" >&2; return 1; }
}

start() {
  if running; then echo "already running: 127.0.0.1:$port pid $(cat "$pid_file")"; return 0; fi
  need java default-jre-headless
  fetch
  sed -e "s#@PORT@#$port#g" -e "s#@CPORT@#$controller_port#g" -e "s#@DATA@#$data/log#g" \
    "$here/server.properties.tmpl" >"$properties"
  format
  : >"$log"
  setsid nohup java "${jvm[@]}" -cp "$lib/*" kafka.Kafka "$properties" </dev/null >>"$log" 2>&1 &
  local pid=$!
  echo "$pid" >"$pid_file"
  local end=$((SECONDS + wait_s))
  until grep -q 'Kafka Server started' "$log"; do
    # Not running(): just after the fork the command line is still this script's.
    kill -0 "$pid" 2>/dev/null || { echo "kafka.sh: the broker ended:" >&2; tail -30 "$log" >&2; rm -f "$pid_file"; return 1; }
    [ $SECONDS -lt $end ] || { echo "kafka.sh: not ready in $wait_s s; see $log" >&2; stop; return 1; }
    sleep 0.1
  done
  echo "127.0.0.1:$port pid $pid"
}

# Gone or a zombie that nobody reaps: either way it holds neither port nor file.
ended() {
  ! kill -0 "$1" 2>/dev/null || grep -qs '^State:[[:space:]]*Z' "/proc/$1/status"
}

await_end() {
  local end=$((SECONDS + stop_wait_s))
  until ended "$1"; do [ $SECONDS -lt $end ] || return 1; sleep 0.1; done
}

stop() {
  if running; then
    local pid
    pid=$(cat "$pid_file")
    kill -TERM "$pid"
    await_end "$pid" || { kill -KILL "$pid"; await_end "$pid"; }
  fi
  rm -f "$pid_file"
}

kill9() {
  if running; then
    local pid
    pid=$(cat "$pid_file")
    kill -KILL "$pid"
    await_end "$pid"
  fi
  rm -f "$pid_file"
}

case "${1:-}" in
  fetch) fetch ;;
  start) start ;;
  stop) stop ;;
  kill9) kill9 ;;
  status) if running; then echo "running: 127.0.0.1:$port pid $(cat "$pid_file")"; else echo stopped; exit 3; fi ;;
  wipe) stop; rm -rf "$data/log" ;;
  *) sed -n '2,13p' "$0" >&2; exit 2 ;;
esac
