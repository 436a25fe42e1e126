# make run    starts a cloud and, the first time, deploys the example app
# make test   runs every test that this machine can run, and names those it cannot
SHELL   := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
DATA    ?= $(CURDIR)/data
LISTEN  ?= 127.0.0.1:8443
LDFLAGS := -s -w -X github.com/awancloud/awan/internal/cloud.Version=$(VERSION)

.PHONY: run test test-long bench build setup setup-test lint clean

run: setup build
	@DATA='$(DATA)' LISTEN='$(LISTEN)' scripts/run

build:
	@mkdir -p bin
	@go build -ldflags '$(LDFLAGS)' -o bin/awan ./cmd/awan

setup:
	@scripts/setup run

setup-test:
	@scripts/setup test

lint:
	@test -z "$$(gofmt -l cmd internal catalog test)" || { echo "not gofmt-ed:"; gofmt -l cmd internal catalog test; exit 1; }
	@go vet ./...
	@go tool staticcheck ./...

test: setup-test build lint
	@scripts/test

test-long: test
	@AWAN_LONG=1 AWAN_BIN=$(CURDIR)/bin/awan go test -count=1 -timeout 60m ./test/... ./internal/engine/... ./internal/cloud/...

bench: setup-test build
	@AWAN_BIN=$(CURDIR)/bin/awan go run ./test/bench -cold -out '$(BENCH_OUT)'

clean:
	rm -rf bin
