// Package conntrack is everything that is told to or asked of the kernel's
// connection tracking: looking up a control connection, the state that ftpalg
// keeps in its entry, its sequence adjustment, and the expectations through
// which data connections pass.
//
// The kernel's entry is ftpalg's database. What must outlive the program is
// stored there and nowhere else, so a killed program loses no session and its
// successor finds all that it needs. The types in this package are plain
// values; only [Conn] talks to the kernel.
//
// Subpackages: nfqueue reads packets and gives verdicts, riding has changes go
// along with them, ruleset owns the nftables table, firewall reads those of
// others, probe tells what this kernel can do.
package conntrack
