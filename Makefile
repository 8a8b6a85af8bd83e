# Everything here can be had without make too: see the recipes.

build:
	CGO_ENABLED=0 go build -trimpath -ldflags "-X main.version=$$(deploy/package/version)" -o ftpalg ./cmd/ftpalg

demo:
	go run ./cmd/ftpalg demo

test:
	test/run

# A million random schedules around the stream editor; some ten minutes.
model:
	go test ./rewrite -run PerfectProxy -schedules 1000000 -timeout 2h

fuzz:
	test/fuzz

# Beside the kernel's own helper and others, as root: some twenty minutes, into test/bench/RESULTS.md.
# BENCH='-ftpalg BINARY' has another ftpalg beside it.
bench:
	go -C test/bench run . -write . $(BENCH)

# The same ratios in three minutes, only told.
bench-quick:
	go -C test/bench run . -quick $(BENCH)

# Where the processor time of the program goes, with perf, into test/bench/PROFILE.md.
bench-profile:
	go -C test/bench run . -quick -profile -write . $(BENCH)

# Go benchmarks, most of them without a kernel.
microbench:
	go test -run - -bench . -benchmem ./alg/... ./rewrite ./conntrack/...

# The end-to-end tests on every stock kernel that Debian offers.
kernels:
	test/kernels/e2e all

# The package and its unit with systemd as the first process, in an emulated machine; some five minutes.
systemd:
	test/systemd/run

# deploy/compose.yaml with its example, as root, without a registry; some four minutes.
compose:
	test/container/compose

# Gateways that are disturbed at random for twenty minutes, as root.
chaos:
	go test ./test/chaos -for 20m -timeout 1h -v

# deb, rpm, ipk, apk and tar.gz for every processor, in dist, of what is in this directory.
packages:
	deploy/package/build dist

# The same from the commit alone, into an empty dist, with what it is made of and checksums.
release:
	deploy/package/release dist

# That two builds in different places give the same bytes, for every processor; some ten minutes.
reproducible:
	test/package/reproducible -c

# Unit tests under emulated processors, of both byte orders.
processors:
	test/processors

.PHONY: build demo test model chaos fuzz bench bench-quick bench-profile microbench kernels systemd compose packages release reproducible processors
