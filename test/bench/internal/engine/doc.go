// Package engine starts what the bench compares, each on the gateway of a network of its own, and
// tells what it costs: processor time, wake-ups, memory.
//
//   - Program: an ftpalg binary
//   - Kernel: the kernel's own FTP helper (nf_conntrack_ftp, nf_nat_ftp)
//   - Nothing: no gateway; the firewall is open and the server has a route to the client
//   - Accept: as Nothing, but a small C program accepts the packets that ftpalg would see one by one
package engine
