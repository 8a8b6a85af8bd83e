package alg

import (
	"testing"
	"time"

	"github.com/ftpalg/ftpalg/alg/policy"
)

// Two gateways that share their limits have as many sessions and doors as one alone: not one more.
func TestLimitsCountForGatewaysTogether(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits policy.Limits
		client [4]int // who asks for the ports, the two gateways in turn
		want   policy.Reason
	}{
		{"sessions", policy.Limits{PerClient: policy.Limit{Sessions: 3}}, [4]int{1, 1, 1, 1},
			policy.SessionLimit},
		{"open ports", policy.Limits{PerClient: policy.Limit{Open: 3}}, [4]int{1, 1, 1, 1},
			policy.PinholeLimit},
		{"open ports in all", policy.Limits{Total: policy.Limit{Open: 3}}, [4]int{1, 2, 3, 4},
			policy.PinholeLimit},
		{"ports a minute in all", policy.Limits{Total: policy.Limit{NewPerMinute: 3}}, [4]int{1, 2, 3, 4},
			policy.RateLimit},
	} {
		p := policy.Default()
		p.Limits = c.limits
		var workers [2]*asker
		for i := range workers {
			g, _ := newCrowd(p)
			if i > 0 {
				g.Share(workers[0].g, len(workers))
			}
			a := &asker{g: g, now: time.Unix(1e9, 0)}
			g.OnRefused = func(r Refusal) { a.got = r.Reason }
			workers[i] = a
		}
		for i, client := range c.client {
			want := policy.None
			if i == 3 {
				want = c.want
			}
			if got := workers[i%2].ask(client, uint16(5000+i)); got != want {
				t.Errorf("%s: port %d is refused because of %v, want %v", c.name, i, got, want)
			}
		}
	}
}

func TestSessionsInAllAreBoundedForGatewaysTogether(t *testing.T) {
	const limit = 10
	p := policy.Default()
	p.Limits.Total.Sessions = limit
	var workers [2]*asker
	for i := range workers {
		g, _ := newCrowd(p)
		if i > 0 {
			g.Share(workers[0].g, len(workers))
		}
		workers[i] = &asker{g: g, now: time.Unix(1e9, 0)}
	}
	for i := range 50 {
		workers[i/25].ask(i, uint16(5000+i))
	}
	n := workers[0].g.Stats.Sessions.Load() + workers[1].g.Stats.Sessions.Load()
	if n < limit || n > limit+1 { // a gateway without sessions has none to forget
		t.Errorf("%d sessions in all, the limit is %d", n, limit)
	}
}
