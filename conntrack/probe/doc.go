// Package probe finds out what this kernel and this firewall can do for ftpalg,
// before anything is installed. Each need is tried in earnest in the network
// namespace of the calling thread, with tables that are made and removed in one
// transaction, a queue number that nobody uses and a conntrack entry between
// documentation addresses; nothing of it stays and no traffic meets it.
//
// Beside what is needed it looks for what gets in the way: the kernel's own FTP
// helper, another program on the queue, forwarding that is off.
package probe
