package metrics

import (
	"strconv"
	"sync/atomic"

	"github.com/ftpalg/ftpalg/alg"
	"github.com/ftpalg/ftpalg/alg/dialogue"
	"github.com/ftpalg/ftpalg/alg/ftp"
	"github.com/ftpalg/ftpalg/alg/policy"
	"github.com/ftpalg/ftpalg/cmd/ftpalg/internal/build"
	"github.com/ftpalg/ftpalg/conntrack/nfqueue"
)

// families is the table of all metrics but the histogram.
func families(s *alg.Stats, overruns, lost *atomic.Uint64, queue func() (nfqueue.Stats, error),
	b build.Info) []family {
	return []family{
		counter("packets_total", "Packets from the queue, by what became of them.",
			byIndex(s.Packets[:], func(i int) string { return alg.Verdict(i).String() }), "verdict"),
		counter("packets_untouched_total", "Packets that were passed on without being read, by reason.",
			byReason(s.Untouched[:], policy.NotTCP, policy.MissedSegments), "reason"),
		gauge("control_sessions", "Control connections in memory.",
			func(e emit) { e(float64(s.Sessions.Load())) }),
		gauge("control_sessions_standby",
			"Control connections of the other gateway of a pair, replicated into this kernel.",
			func(e emit) { e(float64(s.Standby.Load())) }),
		gauge("control_sessions_ended", "Control connections that ended a short while ago and are "+
			"remembered for late repetitions.",
			func(e emit) { e(float64(s.Ended.Load())) }),
		counter("control_sessions_vanished_total",
			"Control connections forgotten because the kernel had forgotten them.",
			one(&s.Vanished)),
		counter("control_sessions_stale_total",
			"Control connections picked up anew because another program had written their entry.",
			one(&s.Stale)),
		counter("control_sessions_echoed_total",
			"Control connections whose entry was brought back as it had been earlier, and was written anew.",
			one(&s.Echoed)),
		counter("labels_wiped_total", "Labels of control connections that another program had overwritten, "+
			"and that were written anew.",
			one(&s.Wiped)),
		counter("adopted_total",
			"Control connections older than the rules whose conntrack entry was replaced.", one(&s.Adopted)),
		counter("handshakes_total", "Handshakes of control connections seen, answered or not.",
			one(&s.HalfOpen)),
		counter("control_sessions_total", "Control connections seen.", one(&s.SessionsTotal)),
		counter("control_sessions_forgotten_total",
			"Control connections forgotten before their end, because there were too many.",
			one(&s.Forgotten)),
		counter("opaque_sessions_total", "Control connections that went over to TLS or speak another "+
			"protocol.", one(&s.Opaque)),
		counter("commands_total", "Commands of clients.",
			byIndex(s.Commands[ftp.Other:], func(i int) string { return (ftp.Other + ftp.Verb(i)).String() }),
			"command"),
		counter("replies_total", "Replies of servers, by first digit.",
			byIndex(s.Replies[1:], func(i int) string { return strconv.Itoa(i+1) + "xx" }), "class"),
		counter("masked_lines_total", "Lines of replies made unreadable.",
			byIndex(s.Masked[:], func(i int) string { return policy.MaskedReplies[i] }), "reply"),
		counter("rewrites_total", "Addresses written into commands and replies.", byMode(s.Rewrites[:]),
			"mode"),
		counter("expectations_total", "Ports opened for one data connection each.", byMode(s.Opened[:]),
			"mode"),
		counter("expectations_closed_total", "Open ports closed again before their time.",
			byReason(s.Closed[:], policy.Superseded, policy.SessionEnded), "reason"),
		counter("refusals_total", "Lines for which no port was opened, or that were kept from the server, "+
			"by reason.",
			byReason(s.Refused[:], policy.NotGreeted, policy.CommandDenied), "reason"),
		counter("unparsed_lines_total", "Commands and replies that should name an address and do not.",
			one(&s.Unparsed)),
		counter("netlink_errors_total", "Requests to the kernel that failed.", one(&s.KernelErrors)),
		counter("queue_overruns_total", "Times that packets passed unseen because the queue's receive "+
			"buffer was full.", one(overruns)),
		counter("queue_lost_total", "Packets that passed unseen because the queue's receive buffer was full.",
			one(lost)),
		counter("queue_dropped_total", "Packets that passed unseen because the queue was full.",
			ofQueue(queue, func(q nfqueue.Stats) uint64 { return q.QueueDropped })),
		counter("queue_user_dropped_total", "Packets that the kernel could not hand to the program.",
			ofQueue(queue, func(q nfqueue.Stats) uint64 { return q.UserDropped })),
		gauge("queue_waiting_packets", "Packets that wait for their verdict.",
			ofQueue(queue, func(q nfqueue.Stats) uint64 { return uint64(q.Waiting) })),
		gauge("build_info", "What the program was built from; always 1.",
			func(e emit) { e(1, b.Version, b.Revision, b.GoVersion) }, "version", "revision", "goversion"),
	}
}

func one(n *atomic.Uint64) func(emit) {
	return func(e emit) { e(float64(n.Load())) }
}

func byIndex(ns []atomic.Uint64, label func(int) string) func(emit) {
	return func(e emit) {
		for i := range ns {
			e(float64(ns[i].Load()), label(i))
		}
	}
}

// byMode leaves out the mode that is none.
func byMode(ns []atomic.Uint64) func(emit) {
	return byIndex(ns[1:], func(i int) string { return dialogue.Modes[i+1] })
}

// byReason gives the reasons from first to last, so that their rates begin at 0, and
// what else was counted.
func byReason(ns []atomic.Uint64, first, last policy.Reason) func(emit) {
	return func(e emit) {
		for i := range ns {
			r := policy.Reason(i)
			if n := ns[i].Load(); n > 0 || r >= first && r <= last {
				e(float64(n), r.String())
			}
		}
	}
}

// ofQueue leaves the metric out where the kernel does not tell.
func ofQueue(read func() (nfqueue.Stats, error), value func(nfqueue.Stats) uint64) func(emit) {
	return func(e emit) {
		if s, err := read(); err == nil {
			e(float64(value(s)))
		}
	}
}
