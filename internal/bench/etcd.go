package main

import (
	"context"
	"flag"
	"net/url"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/estorajed/estorajed/internal/acceptance"
)

// serveEtcd is 'bench etcd': one member of the etcd that the cluster is compared with, of the version that the daemon embeds. All
// that can be tuned is as etcd ships it.
func serveEtcd(args []string) error {
	cfg := embed.NewConfig()
	flags := flag.NewFlagSet("etcd", flag.ContinueOnError)
	flags.StringVar(&cfg.Name, "name", "", "")
	flags.StringVar(&cfg.Dir, "dir", "", "")
	flags.StringVar(&cfg.InitialCluster, "initial-cluster", "", "")
	client := flags.String("client", "", "")
	peer := flags.String("peer", "", "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	clients, err := url.Parse(*client)
	if err != nil {
		return err
	}
	peers, err := url.Parse(*peer)
	if err != nil {
		return err
	}
	cfg.ListenClientUrls, cfg.ListenPeerUrls = []url.URL{*clients}, []url.URL{*peers}
	cfg.AdvertiseClientUrls, cfg.AdvertisePeerUrls = cfg.ListenClientUrls, cfg.ListenPeerUrls
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	return <-e.Err()
}

// startEtcd starts three members.
func (b *bench) startEtcd(ctx context.Context, s *side) error {
	ports, err := acceptance.FreePorts()
	if err != nil {
		return err
	}
	s.aim = load{Port: ports.EtcdClient, Hosts: nodes, Etcd: true}
	return b.launch(ctx, s, "/health", sharedKeys, func(i int, name, dir string) []string {
		return []string{
			b.self, "etcd", "-name", name, "-dir", dir, "-initial-cluster", initialCluster(ports.EtcdPeer),
			"-client", node(i, ports.EtcdClient), "-peer", node(i, ports.EtcdPeer),
		}
	})
}
