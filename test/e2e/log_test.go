package e2e

import (
	"slices"
	"strings"
)

// refusals are the reasons in the log, in order.
func (g *gateway) refusals() []string { return refusals(g.logged()) }

func refusals(log string) (reasons []string) {
	for line := range strings.Lines(log) {
		if fields := strings.Fields(line); slices.Contains(fields, "msg=refused") {
			for _, f := range fields {
				if reason, ok := strings.CutPrefix(f, "reason="); ok {
					reasons = append(reasons, reason)
				}
			}
		}
	}
	return reasons
}
