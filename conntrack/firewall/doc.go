// Package firewall reads the nftables rules of everybody, those of iptables-nft
// included, and walks them with a packet of which only some things are known: its
// port, what connection tracking thinks of it, and that it is TCP. What a rule asks
// besides is taken as it may or may not be, so an answer is yes, no or maybe.
//
// Rules of legacy iptables, of BPF programs and of Open vSwitch are not seen.
package firewall
