// Package webconfig gives a server TLS, client certificates, basic authentication, headers and a rate limit
// as a file says, in the format of the Prometheus exporters (--web.config.file; prometheus/exporter-toolkit,
// docs/web-configuration.md). It is not their library because that links html/template, by way of
// golang.org/x/net/trace, for which the linker keeps every method: 3.8 MB more of program.
package webconfig
