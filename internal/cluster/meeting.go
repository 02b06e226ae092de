package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Limits of asking around.
const (
	askTimeout   = 2 * time.Second
	askPause     = 300 * time.Millisecond
	answerMax    = 1 << 20 // bytes
	headerLimit  = 5 * time.Second
	meetingLimit = time.Second // for answers under way when the meeting ends
)

// An introduction is what a new voter answers on its peer port as long as its etcd is not started.
type introduction struct {
	Name      string   `json:"name"`
	Initial   []string `json:"initial"` // see written
	MaxVoters int      `json:"max_voters"`
}

// An etcdMember is what a voter's etcd answers at the same place: a list of these.
type etcdMember struct {
	Name       string   `json:"name"`
	PeerURLs   []string `json:"peerURLs"`
	ClientURLs []string `json:"clientURLs"` // none until it has voted
	Learner    bool     `json:"isLearner"`
}

// An answer is one of the two.
type answer struct {
	newcomer *introduction
	members  []etcdMember
	cluster  uint64 // etcd's id of it
}

// membersPath is where both are found, and clusterHeader tells of which cluster an etcd is, in hexadecimal digits.
const (
	membersPath   = "/members"
	clusterHeader = "X-Etcd-Cluster-Id"
)

// ask asks one voter.
func ask(ctx context.Context, client *http.Client, peerURL string) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, peerURL+membersPath, nil)
	if err != nil {
		return answer{}, err
	}
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerMax))
	if err != nil {
		return answer{}, err
	}
	if response.StatusCode != http.StatusOK {
		return answer{}, fmt.Errorf("it answers %s", response.Status)
	}
	a, err := understood(body)
	a.cluster, _ = strconv.ParseUint(response.Header.Get(clusterHeader), 16, 64) // a newcomer has none
	return a, err
}

func understood(body []byte) (a answer, err error) {
	if strings.HasPrefix(strings.TrimSpace(string(body)), "[") {
		err = json.Unmarshal(body, &a.members)
	} else {
		err = json.Unmarshal(body, &a.newcomer)
	}
	if err == nil && a.newcomer != nil && a.newcomer.Name == "" || err == nil && a.newcomer == nil && a.members == nil {
		err = errors.New("it is no estorajed")
	}
	return a, err
}

// newAsker makes a client for ask. It keeps no connections: who is asked may be about to give its port to etcd.
func newAsker() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

// A meeting is a new voter's answering on its peer port.
type meeting struct {
	ports  ports
	server *http.Server
	served sync.WaitGroup
}

func openMeeting(c Config, p ports) *meeting {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+membersPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, encoded(introduction{c.Name, written(c.Initial), c.Wanted.MaxVoters}))
	})
	m := &meeting{ports: p, server: &http.Server{Handler: mux, ReadHeaderTimeout: headerLimit}}
	m.served.Go(func() { _ = m.server.Serve(p.peer) }) // ends with close
	return m
}

// close gives the peer port free.
func (m *meeting) close() {
	ctx, cancel := context.WithTimeout(context.Background(), meetingLimit)
	defer cancel()
	if m.server.Shutdown(ctx) != nil {
		m.server.Close()
	}
	m.served.Wait()
}

// judge says what another voter's answer means to a new voter: nothing to complain of ("") is a meeting. Errors: *RefusalError.
func (c Config) judge(voters []Initial, other Initial, a answer) (complaint string, err error) {
	if n := a.newcomer; n != nil {
		switch {
		case n.Name != other.Name:
			return fmt.Sprintf("%s, which says that it is %s: give every node its own address", other, n.Name), nil
		case differences(written(c.Initial), n.Initial) != "":
			return fmt.Sprintf("%s, which was started with another -initialCluster (%s): give all nodes the same list", other, differences(written(c.Initial), n.Initial)), nil
		case n.MaxVoters != c.Wanted.MaxVoters:
			return fmt.Sprintf("%s, which was started with -max-voters %d, this node with %d: give all nodes the same", other, n.MaxVoters, c.Wanted.MaxVoters), nil
		}
		return "", nil
	}
	var known []string // to the other's etcd
	for _, m := range a.members {
		known = append(known, m.PeerURLs...)
		if slices.Contains(m.PeerURLs, selfAmong(voters, c.Name).peerURL()) && len(m.ClientURLs) > 0 {
			return "", foreign(c.Name)
		}
	}
	var wanted []string
	for _, v := range voters {
		wanted = append(wanted, v.peerURL())
	}
	if d := differences(wanted, known); d != "" {
		return fmt.Sprintf("%s, whose etcd has other voters than -initialCluster makes here (%s): give all nodes the same list", other, d), nil
	}
	return "", nil
}

// selfAmong is the node of that name.
func selfAmong(list []Initial, name string) Initial {
	return list[slices.IndexFunc(list, func(i Initial) bool { return i.Name == name })]
}

// String is the node as it is named to people.
func (i Initial) String() string { return fmt.Sprintf("%s (%s)", i.Name, i.address()) }

// foreign refuses a node whose directory is not the one that it registered with.
func foreign(name string) error {
	return refuse("this cluster knows %s with another data directory, and this one is empty or another node's: give it the directory back; "+
		"if that is lost, leave this node stopped: the others go on without it, and this version cannot yet replace it", name)
}

// meet answers and asks until each other voter has answered, so that none starts its etcd while another, with files, is not heard.
func (c *Cluster) meet(ctx context.Context) error {
	asker := newAsker()
	left := slices.DeleteFunc(slices.Clone(c.voters), func(v Initial) bool { return v.Name == c.config.Name })
	for {
		complaints, err := c.askAround(ctx, asker, left)
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(v Initial) bool { return complaints[v.Name] == "" })
		if len(left) == 0 {
			return nil
		}
		var list []string
		for _, v := range left {
			list = append(list, complaints[v.Name])
		}
		c.wait("waiting for %s", strings.Join(list, "; "))
		if err := pause(ctx, askPause); err != nil {
			return err
		}
	}
}

// askAround asks some voters at once. What it says of each is "" if they have met.
func (c *Cluster) askAround(ctx context.Context, asker *http.Client, voters []Initial) (map[string]string, error) {
	var (
		mu         sync.Mutex
		complaints = map[string]string{}
		refusal    error
		all        sync.WaitGroup
	)
	for _, v := range voters {
		all.Go(func() {
			a, err := ask(ctx, asker, v.peerURL())
			complaint := v.String() + " to answer"
			if err == nil {
				complaint, err = c.config.judge(c.voters, v, a)
			} else {
				err = nil
			}
			mu.Lock()
			defer mu.Unlock()
			complaints[v.Name] = complaint
			if err != nil {
				refusal = err
			}
		})
	}
	all.Wait()
	return complaints, refusal
}

// pause waits, but not for longer than ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
