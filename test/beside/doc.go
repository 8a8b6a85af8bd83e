// Package beside tests the gateway beside the other programs that write a router's rules: firewalld, ufw,
// nftables.service, iptables of both kinds, Docker's rules, fail2ban. Each is the real program of Debian's
// package, in a network namespace and with files of its own; Docker's rules are written as it writes them.
// The script programs fetches them, and FTPALG_BESIDE says where they are.
package beside
