// Package lab builds small networks on one Linux machine: each [Host] is a
// network namespace, joined to others by veth pairs and bridges, with the
// kernel's own routing, NAT and firewall. It needs root and no external
// program.
//
// A lab is built, used and closed:
//
//	l := lab.NewT(t)
//	r, err := l.ClientBehindNAT()
//	...
//	listener, err := r.Server.Listen("tcp", "203.0.113.66:21")
//	conn, err := r.Client.Dial(ctx, netip.AddrPort{}, r.Server.AddrPort(false, 21))
//
// Sockets made through a Host belong to its namespace for good, whatever
// thread uses them later. Only their creation is tied to a thread, which is
// what [Host.Do] is for.
//
// Namespaces are named under /run/netns, so that `ip netns exec` and container
// engines can join them. Each name starts with [Lab.Name], which no other lab
// has: any number of labs may run at once. [Lab.Close] ends every process in
// the namespaces and removes them; what a killed program left behind is
// removed by the next lab.
package lab
