package e2e

import "testing"

// The client ends TLS by CCC. Its login was within, unseen.
func TestClearTextAfterTLSIsReadWhereItIsWatched(t *testing.T) {
	// Handshakes, application data and alerts.
	secret := []string{
		"c>AUTH TLS\r\n", "s>234 go\r\n", "c>\x16\x03\x01\x00\x02aa",
		"s>\x16\x03\x03\x00\x02bb\x17\x03\x03\x00\x04cccc",
		"c>\x17\x03\x03\x00\x1a" + named + "\r\n\x00", "s>\x15\x03\x03\x00\x02ee", "c>\x15\x03\x03\x00\x02ff",
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			n := newGuarded(t, k, "", metered)
			n.listen(t, 30730)
			segments := active(own, secret...)
			if !k.active {
				segments = passive("PASV\r\n", offer, secret...)
			}
			for _, at := range cuts {
				n.configure(t, "tls: pass\n")
				n.g.counts(t, "opaque_sessions_total", 1, func() {
					n.connect(t, n.Client, false, 21).start(greeted).play(inPieces(segments, at)...)
				})
				n.g.wantNothingOpen()
				_, peer := n.sides(k.active)
				n.wantClosed(t, peer, false, 30730)
				n.configure(t, "tls: watch\n")
				before := len(segments) - 2
				d := n.connect(t, n.Client, false, 21).start(greeted)
				d.play(inPieces(segments[:before], at)...)
				n.g.wantNothingOpen() // the PORT within is not read
				d.play(inPieces(segments[before:], at)...)
				n.wantOne(t, k.active)
			}
		})
	}
}
