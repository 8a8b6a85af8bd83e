package main

import "testing"

func TestPacketsThatPassedUnseenAreCountedOnce(t *testing.T) {
	type sample struct {
		before, offered, after uint64
		want                   uint64
	}
	for name, samples := range map[string][]sample{
		"none passes":                 {{0, 0, 0, 0}, {10, 10, 10, 0}, {500, 500, 500, 0}},
		"what an earlier program had": {{0, 900, 0, 0}, {10, 910, 10, 0}},
		"a full queue":                {{0, 5, 0, 0}, {10, 35, 10, 20}, {20, 45, 20, 20}, {20, 48, 20, 23}},
		"packets that come meanwhile": {{0, 0, 0, 0}, {10, 15, 20, 0}, {20, 20, 20, 0}, {30, 35, 30, 5}},
		"as many pass as come":        {{0, 0, 0, 0}, {10, 25, 20, 5}, {20, 35, 30, 5}, {30, 45, 30, 15}},
		"a table that was flushed": {{0, 0, 0, 0}, {100, 130, 100, 30}, {100, 0, 100, 30},
			{110, 15, 110, 35}},
		"a large packet that was cut":   {{0, 0, 0, 0}, {12, 10, 12, 0}, {20, 21, 20, 3}},
		"the program is the first here": {{7, 7, 7, 0}, {7, 9, 7, 2}},
	} {
		u := &unseen{}
		for i, s := range samples {
			if u.sample(s.before, s.offered, s.after); u.total != s.want {
				t.Errorf("%s: after sample %d counted are %d, want %d", name, i, u.total, s.want)
			}
		}
	}
}
