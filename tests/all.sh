#!/usr/bin/env bash
# All tests, with what they need. As root on Debian or Ubuntu it installs that; elsewhere it says what is missing.
#   tests/all.sh          everything
#   tests/all.sh quick    without the lab (no namespaces, no demo)
set -euo pipefail
cd "$(dirname "$0")/.."
quick=${1:-}

say() { printf '\n== %s (%s)\n' "$*" "$(date +%T)"; }

needs() { command -v "$1" >/dev/null 2>&1; }
missing=()
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=(postgresql)
needs nft || missing+=(nftables)
needs ip || missing+=(iproute2)
needs haproxy || missing+=(haproxy)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" = 0 ] && needs apt-get; then
    say "installing ${missing[*]}"
    # Installs no running services: the tests start their own.
    made=0
    if [ ! -e /usr/sbin/policy-rc.d ]; then
      printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d; made=1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
    [ $made = 1 ] && rm -f /usr/sbin/policy-rc.d
  else
    echo "missing: ${missing[*]} (install them, or run as root on Debian)" >&2
    exit 2
  fi
fi

say "format"
cargo fmt --all -- --check
say "lints"
cargo clippy --quiet --workspace --all-targets -- -D warnings
say "tests"
cargo test --workspace --no-fail-fast
say "simulator, 20,000 seeds"
cargo run --quiet --package simulation -- --seeds 20000 --jobs 2
[ "$quick" = quick ] && exit 0

say "demo, each scenario"
passed=0; failed=0
for scenario in site-loss postgres-crash witness-loss partition; do
  if cargo run --quiet --package tripoint -- demo --scenario "$scenario" --yes; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1)); echo "demo --scenario $scenario FAILED"
  fi
done
say "lab, each scenario once"
if cargo run --quiet --package chaos -- run ci; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
say "end"
echo "demo and lab: $passed passed, $failed failed"
[ "$failed" = 0 ]
