// Package demo shows what the gateway is for: it builds clients, a NAT gateway
// and servers out of network namespaces, transfers a file in every mode without
// the gateway program and then with it, and prints what the two ends said and
// heard.
package demo
