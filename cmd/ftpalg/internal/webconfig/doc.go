// Package webconfig gives a server TLS, client certificates and basic authentication as a file says, in the
// format of the Prometheus exporters (--web.config.file). It reads the part of the format that most use and
// refuses the rest; their own library would add 4.6 MB to the program.
package webconfig
