package config

// nearest returns a hint at the name that was probably meant, or nothing.
func nearest(word string, names []string) string {
	if len(word) > 64 {
		return ""
	}
	best, meant := 3, ""
	for _, n := range names {
		if d := distance(word, n); d < best && d < len(n) {
			best, meant = d, n
		}
	}
	if meant == "" {
		return ""
	}
	return ", did you mean " + meant + "?"
}

// distance is the number of bytes to insert, delete or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}
