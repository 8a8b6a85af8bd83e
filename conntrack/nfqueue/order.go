package nfqueue

// order knows which packets have no verdict yet: those that were given out before the one at hand, and those
// that come after it. The kernel gives packets out in the order of their ids (nfqnl_enqueue_packet).
type order struct {
	due  []Packet // of the last Receive, behind the last one that had its verdict
	held int      // that were given out before those
}

func (o *order) received(pkts []Packet) {
	o.held += len(o.due)
	o.due = pkts
}

// answered takes note of a verdict on a packet, and tells whether all before it have theirs.
func (o *order) answered(id uint32) bool {
	for i := range o.due {
		if o.due[i].ID == id {
			o.held += i // they are passed over
			o.due = o.due[i+1:]
			return o.held == 0
		}
	}
	o.held = max(0, o.held-1)
	return false
}
