package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.uber.org/zap"

	"github.com/estorajed/estorajed/internal/ring"
)

func initial(names string) (list []Initial) {
	for name := range strings.FieldsSeq(names) {
		list = append(list, Initial{Name: name, Host: "h" + name, Port: 2380})
	}
	return list
}

func TestVoters(t *testing.T) {
	for _, tc := range []struct {
		name, nodes string
		most        int
		want        string
	}{
		{"one votes alone", "a", 5, "a"},
		{"two need each other", "b a", 5, "a b"},
		{"unless one is to decide", "b a", 1, "a"},
		{"three", "c a b", 5, "a b c"},
		{"four have three", "d c b a", 5, "a b c"},
		{"five", "a b c d e", 5, "a b c d e"},
		{"seven have five", "g f e d c b a", 5, "a b c d e"},
		{"or seven", "g f e d c b a", 7, "a b c d e f g"},
		{"an even limit is one too many", "a b c d e", 4, "a b c"},
		{"two of many would be worse than one", "a b c", 2, "a"},
		{"none of none", "", 5, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := strings.Join(names(votersOf(initial(tc.nodes), tc.most)), " "); got != tc.want {
				t.Errorf("votersOf(%s, %d) = %s, want %s", tc.nodes, tc.most, got, tc.want)
			}
		})
	}
}

func TestDifferencesOfLists(t *testing.T) {
	for _, tc := range []struct{ mine, theirs, want string }{
		{"a b", "a b", ""},
		{"a b c", "a b", "it lacks c"},
		{"a b", "a b c d", "it has c, d"},
		{"a b", "a c", "it lacks b and it has c"},
	} {
		if got := differences(strings.Fields(tc.mine), strings.Fields(tc.theirs)); got != tc.want {
			t.Errorf("differences(%s, %s) = %q, want %q", tc.mine, tc.theirs, got, tc.want)
		}
	}
}

func TestSettingsAreFixed(t *testing.T) {
	fixed := Settings{Cluster: "c", HashSeed: 1, Partitions: 16, Replicas: 3, MaxVoters: 5}
	for _, tc := range []struct {
		change func(*Settings)
		want   string
	}{
		{func(*Settings) {}, ""},
		{func(s *Settings) { s.Cluster, s.HashSeed = "other", 2 }, ""}, // proposals are no claims
		{func(s *Settings) { s.Partitions = 32 }, "-partitions is 32 here, but 16 in the cluster"},
		{func(s *Settings) { s.Replicas = 2 }, "-replicas is 2 here, but 3 in the cluster"},
		{func(s *Settings) { s.MaxVoters = 3 }, "-max-voters is 3 here, but 5 in the cluster"},
	} {
		wanted := fixed
		tc.change(&wanted)
		says(t, fixed.compare(wanted), tc.want)
	}
}

// says holds a refusal to what it must begin with; "" is none.
func says(t *testing.T, err error, want string) {
	t.Helper()
	var refusal *RefusalError
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && (!errors.As(err, &refusal) || !strings.HasPrefix(refusal.What, want) || strings.Contains(refusal.What, "\n")):
		t.Errorf("refusal is %v, want one line that begins with %q", err, want)
	}
}

func TestWhatAnotherVoterAnswers(t *testing.T) {
	c := Config{Name: "a", Initial: initial("a b c"), Wanted: Settings{MaxVoters: 5}}
	newcomer := func(change func(*introduction)) answer {
		i := introduction{"b", written(initial("c b a")), 5}
		change(&i)
		return answer{newcomer: &i}
	}
	etcd := func(names string, voted string) (a answer) {
		for _, i := range initial(names) {
			m := etcdMember{Name: i.Name, PeerURLs: []string{i.peerURL()}}
			if strings.Contains(voted, i.Name) {
				m.ClientURLs = []string{"http://somewhere"}
			}
			a.members = append(a.members, m)
		}
		return a
	}
	for _, tc := range []struct {
		name      string
		a         answer
		complaint string
		refusal   string
	}{
		{"new, and of one mind", newcomer(func(*introduction) {}), "", ""},
		{"another node at this address", newcomer(func(i *introduction) { i.Name = "c" }), "b (hb:2380), which says that it is c", ""},
		{"a list without me", newcomer(func(i *introduction) { i.Initial = written(initial("b c")) }), "b (hb:2380), which was started with another -initialCluster (it lacks a=ha:2380)", ""},
		{"a longer list", newcomer(func(i *introduction) { i.Initial = written(initial("a b c d")) }), "b (hb:2380), which was started with another -initialCluster (it has d=hd:2380)", ""},
		{"another number of voters", newcomer(func(i *introduction) { i.MaxVoters = 1 }), "b (hb:2380), which was started with -max-voters 1, this node with 5", ""},
		{"its etcd runs already", etcd("a b c", ""), "", ""},
		{"and has formed with others", etcd("a b c", "b c"), "", ""},
		{"with a voter of my name", etcd("a b c", "a b"), "", "this cluster knows a with another data directory"},
		{"without me", etcd("b c", "b c"), "b (hb:2380), whose etcd has other voters than -initialCluster makes here (it lacks http://ha:2380)", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			complaint, err := c.judge(votersOf(c.Initial, 5), c.Initial[1], tc.a)
			says(t, err, tc.refusal)
			if !strings.HasPrefix(complaint, tc.complaint) || (complaint == "") != (tc.complaint == "") {
				t.Errorf("complaint %q, want %q", complaint, tc.complaint)
			}
		})
	}
}

func TestAnswersAreUnderstood(t *testing.T) {
	for _, tc := range []struct {
		body string
		ok   bool
	}{
		{`{"name":"a","initial":["a=h:1"],"max_voters":5}`, true},
		{`[{"id":1,"peerURLs":["http://h:1"],"name":"a","clientURLs":["http://h:2"]}]` + "\n", true},
		{`[]`, true},
		{`{}`, false},
		{`null`, false},
		{`404 page not found`, false},
		{``, false},
	} {
		if _, err := understood([]byte(tc.body)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.body, err)
		}
	}
}

func TestARegistrationIsRenewedByItsOwnDirectoryOnly(t *testing.T) {
	was := Member{Node: 3, Name: "a", Directory: "d", Host: "h", Port: 1, Version: "1", Start: 4}
	for _, tc := range []struct {
		name   string
		change func(*Member)
		want   string
	}{
		{"the next start", func(m *Member) { m.Start = 5 }, ""},
		{"moved and upgraded", func(m *Member) { m.Start, m.Host, m.Port, m.Version, m.Weight, m.Zone = 6, "i", 2, "2", 3, "z" }, ""},
		{"a node that forgot its number only", func(m *Member) { m.Node = 0 }, ""},
		{"another directory", func(m *Member) { m.Directory = "e" }, "this cluster knows a with another data directory"},
		{"another number", func(m *Member) { m.Node = 4 }, "this cluster knows a with another data directory"},
		{"an older copy", func(m *Member) { m.Start = 3 }, "the data directory of a is an older copy: it counts 3 starts, and the cluster has seen 4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			self := was
			tc.change(&self)
			got, err := was.renewed(self)
			says(t, err, tc.want)
			self.Node = 3
			if err == nil && got != self {
				t.Errorf("renewed as %+v, want %+v", got, self)
			}
		})
	}
}

func TestAViewIsWhole(t *testing.T) {
	table, err := firstTable(Settings{Partitions: 4, Replicas: 2}, []Member{{Node: 1, Weight: 1}, {Node: 2, Weight: 1}})
	if err != nil {
		t.Fatal(err)
	}
	value, err := table.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b := board{}
	put := func(key, value string, revision int64) {
		b[key] = &mvccpb.KeyValue{Key: []byte(key), Value: []byte(value), ModRevision: revision}
	}
	if _, err := b.view(); !errors.Is(err, errIncomplete) {
		t.Errorf("an empty board: %v", err)
	}
	put(settingsKey, encoded(Settings{Cluster: "c", Partitions: 4}), 2)
	put(memberPrefix+"b", encoded(Member{Node: 2, Name: "b"}), 4)
	put(memberPrefix+"a", encoded(Member{Node: 1, Name: "a"}), 3)
	if _, err := b.view(); !errors.Is(err, errIncomplete) {
		t.Errorf("without a table: %v", err)
	}
	put(tableKey, string(value), 5)
	v, err := b.view()
	if err != nil || v.Settings.Cluster != "c" || len(v.Members) != 2 || v.Members[0].Name != "a" || v.Table.Epoch != 1 || v.TableRevision != 5 {
		t.Errorf("view is %+v, %v", v, err)
	}
	put(tableKey, "x", 6)
	if _, err := b.view(); err == nil {
		t.Error("a damaged table was taken")
	}
	put(tableKey, string(value), 7)
	put(memberPrefix+"a", "{", 8)
	if _, err := b.view(); err == nil {
		t.Error("a damaged member was taken")
	}
}

func TestMembersMayKnowMoreThanThisVersion(t *testing.T) {
	var m Member
	if err := json.Unmarshal([]byte(`{"node":7,"name":"a","colour":"green"}`), &m); err != nil || m.Node != 7 {
		t.Errorf("%+v, %v", m, err)
	}
}

func TestWeightsKeepTheirRatio(t *testing.T) {
	for _, tc := range []struct {
		weights []float64
		want    []uint32
	}{
		{[]float64{1, 1}, []uint32{1000, 1000}},
		{[]float64{0.5, 2}, []uint32{500, 2000}},
		{[]float64{1, 1e6}, []uint32{1, ring.WeightMax}},
		{[]float64{0.0001}, []uint32{1}},
	} {
		var members []Member
		for i, w := range tc.weights {
			members = append(members, Member{Node: ring.NodeID(i + 1), Weight: w})
		}
		var got []uint32
		for _, m := range planned(members) {
			got = append(got, m.Weight)
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("planned(%v) weighs %v, want %v", tc.weights, got, tc.want)
		}
	}
}

func TestLastWordsEndOneGoroutineOnly(t *testing.T) {
	for _, tc := range []struct {
		level string
		say   func(*zap.Logger)
	}{
		{"fatal", func(l *zap.Logger) { l.Fatal("the disk is gone", zap.Error(errors.New("EIO"))) }},
		{"panic", func(l *zap.Logger) { l.Named("raft").Sugar().Panicf("the disk is %s: EIO", "gone") }},
	} {
		t.Run(tc.level, func(t *testing.T) {
			var told []string
			var cause error
			l := newLogger(func(level, message string, fields []any) { told = append(told, fmt.Sprintln(level, message, fields)) }, func(err error) { cause = err })
			over, survived := make(chan struct{}), false
			go func() {
				defer close(over)
				tc.say(l.With(zap.Int("n", 1)))
				survived = true
			}()
			<-over
			if survived {
				t.Error("the goroutine went on")
			}
			if cause == nil || cause.Error() != "the disk is gone: EIO" {
				t.Errorf("cause is %v", cause)
			}
			if len(told) != 1 || !strings.HasPrefix(told[0], tc.level+" the disk is gone") || !strings.Contains(told[0], "n 1") {
				t.Errorf("told %q", told)
			}
		})
	}
}

func TestEtcdIsQuiet(t *testing.T) {
	told := 0
	l := newLogger(func(string, string, []any) { told++ }, nil)
	l.Info("hello")
	for range 100 {
		l.Warn("a voter is away")
	}
	if told != logTimes {
		t.Errorf("told %d times, want %d", told, logTimes)
	}
	l.Warn(chatter()[0])
	if told != logTimes {
		t.Error("chatter was told of")
	}
}

func TestWasteIsWorthWhileOnly(t *testing.T) {
	for _, tc := range []struct {
		size, used int64
		want       bool
	}{{1 << 20, 0, false}, {64 << 20, 32 << 20, true}, {64 << 20, 33 << 20, false}, {1 << 30, 900 << 20, false}} {
		if got := wasteful(tc.size, tc.used); got != tc.want {
			t.Errorf("wasteful(%d, %d) = %v", tc.size, tc.used, got)
		}
	}
}

func TestEtcdsRefusalOfAWipedVoterIsTheSameLine(t *testing.T) {
	says(t, explained(errors.New("member 248ebb5445857a5a has already been bootstrapped"), "a"), foreign("a").Error())
	if err := explained(errors.New("EIO"), "a"); err.Error() != "etcd does not start: EIO" {
		t.Error(err)
	}
}
