package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/estorajed/estorajed/internal/cluster"
	"github.com/estorajed/estorajed/internal/ring"
)

// The file in which a node remembers the cluster, so that a restart needs no quorum of etcd to serve.
const (
	viewName = "cluster"
	viewTemp = "cluster.new"
)

// remembered is the form of that file.
type remembered struct {
	Settings cluster.Settings `json:"settings"`
	Members  []cluster.Member `json:"members"`
	Table    []byte           `json:"table"` // as ring.Table.Encode gives it
	Revision int64            `json:"table_revision"`
}

// Recall gives the cluster as the directory remembers it, nil if it remembers none. Errors: *DirectoryError.
func (d *Directory) Recall() (*cluster.View, error) {
	b, err := os.ReadFile(filepath.Join(d.Path, viewName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &DirectoryError{d.Path, "cannot be read: " + reason(err) + ": let this user read it"}
	}
	var r remembered
	err = json.Unmarshal(b, &r)
	var table *ring.Table
	if err == nil {
		table, err = ring.Decode(r.Table)
	}
	if err != nil {
		return nil, &DirectoryError{d.Path, fmt.Sprintf("has a damaged file %s (%v): restore the directory from a backup, or give an empty one", viewName, err)}
	}
	return &cluster.View{Settings: r.Settings, Members: r.Members, Table: table, TableRevision: r.Revision}, nil
}

// Remember writes the cluster down: whole and durable before it returns.
func (d *Directory) Remember(v *cluster.View) error {
	table, err := v.Table.Encode()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(remembered{v.Settings, v.Members, table, v.TableRevision}, "", "  ")
	if err != nil {
		return err
	}
	temp := filepath.Join(d.Path, viewTemp)
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(b, '\n'))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(d.Path, viewName)); err != nil {
		return err
	}
	return syncFolder(d.Path)
}
