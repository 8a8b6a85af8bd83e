// Package ruleset owns the nftables table that brings control connections to
// the program: it marks and equips each new one and queues those packets of it
// that need a decision. It changes no other table, and lets everything pass if
// the program does not run, but for the few connections with StateNoBypass.
//
// A new connection to an FTP port gets the label [conntrack.StateControl] and a
// conntrack helper that carries expectations. Its packets are queued if they
//
//   - end the connection (FIN, RST) or answer its opening (SYN with ACK),
//   - carry payload, unless StateOpaque says that it cannot be read,
//   - are of a connection with StateBusy, whose ACKs must be translated too,
//   - are of a connection with StateNoBypass: whatever they are.
//
// So a pure ACK costs a few instructions in the kernel and no visit to the
// program. The hooks lie before destination NAT, where a packet still has the
// addresses of its own direction's tuple; packets of the gateway itself come
// from the output hook.
//
// Each rule is written once, as what nftables evaluates and as nft text beside
// it. Install replaces the table in one transaction: it is the old one or the
// new one at any moment, also if the new one is refused.
package ruleset
