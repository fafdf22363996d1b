#!/usr/bin/env bash
# go: with cgo, so that the loader brings the shim in; goroutines, timers, the network poller
. "$(dirname "$0")/lib.sh"
need go gcc
cp "$here/languages/server.go" "$work"
(cd "$work" && GOCACHE=$dir/cache HOME=$dir CGO_ENABLED=1 GOFLAGS=-mod=mod go build -o server server.go) || fail "go build"
rm -rf "$dir/cache"
app_start ./server 28260
generations 28260
