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
// With several workers the port of the client chooses the queue, so both directions
// of a connection come to one worker whatever NAT makes of them. In
// front of each queue statement stands a counter: what passes because no program
// has the queue, or because it is full, is counted nowhere else.
//
// Each rule is written once, as what nftables evaluates and as nft text beside
// it. A [Table] is replaced in one transaction: it is the old one or the new one
// at any moment, also if the new one is refused. Its set of ports says in a
// comment whose it is ([Owner]). Whoever changes or removes the table looks first,
// and the kernel refuses the change if the ruleset is not the one that was looked
// at any more (NFNL_BATCH_GENID): no process ever removes another one's table.
//
// A [Watch] hears of every change that others make, and repairs the table.
package ruleset
