package e2e

import "strings"

// cuts are where each line is cut in two segments; 0: nowhere. The others lie in the verb
// and in the argument.
var cuts = []int{0, 2, 7}

// inPieces cuts what is said.
func inPieces(segments []string, at int) (pieces []string) {
	for _, seg := range segments {
		if who, text := seg[:2], seg[2:]; at > 0 && len(text) > at && who[1] == '>' {
			pieces = append(pieces, who+text[:at], who+text[at:])
		} else {
			pieces = append(pieces, seg)
		}
	}
	return pieces
}

// hear plays, and returns the last line that the server received and the last that the client did.
func (d *dialogue) hear(segments ...string) (server, client string) {
	d.Helper()
	var heard [2]string
	for _, seg := range segments {
		who := strings.IndexByte("cs", seg[0])
		if strings.HasSuffix(heard[who], "\n") {
			heard[who] = ""
		}
		heard[who] += d.play(seg)
	}
	return heard[0], heard[1]
}
