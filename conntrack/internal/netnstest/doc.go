// Package netnstest gives the tests of the kernel side networks of their own:
// unnamed network namespaces that vanish with the test, also with one that
// fails, and a router between a client and a server. Nothing of it touches the
// namespace that the test runs in.
package netnstest
