package alg

// Verdict is what happens to a packet.
type Verdict uint8

const (
	Accept  Verdict = iota // goes on as it is
	Rewrite                // goes on with the bytes that Handle returned
	Hold                   // waits for the packets before it; its verdict comes later
	Drop                   // never to be sent: its sender sends it again, or its connection ended
)

// Verdicts are the labels of the verdicts in metrics.
var Verdicts = [...]string{"accept", "rewrite", "hold", "drop"}

func (v Verdict) String() string { return Verdicts[v] }
