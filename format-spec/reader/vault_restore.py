"""Restoring beneath a folder. Trees are hostile (chapter 08).

Everything is made relative to a descriptor of the directory that this program itself has just made, by one name without `/`,
exclusively and without following links: a tree cannot lead outside, and a name that the file system takes for one that is
already there (case, normalization, a link that waits in the target) is refused with its subtree.
"""
import os
import resource
import stat
from collections import Counter

from vault_format import DATA, MAX_DEPTH, Damaged, Unsupported, check

FAILURES = (Damaged, Unsupported, OSError, ValueError, OverflowError)


def parts(path):
    """A path is (path of the parent, name): in a deep tree every directory shares what is above it."""
    found = []
    while path:
        path, name = path
        found.append(name)
    return found[::-1]


class Restore:
    def __init__(self, repo, report):
        self.repo, self.report, self.notes = repo, report, Counter()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # one descriptor a level

    def run(self, sources, target):
        os.makedirs(target, exist_ok=True)
        self.top = os.open(target, os.O_RDONLY | os.O_DIRECTORY)
        for source in sources:
            self.names_of = {}  # (device, inode) -> (path, body) of the first name of a file with several
            self.stack = []  # directories being filled: (descriptor, node, iterator over children, path)
            self.entry(self.top, source.root, (None, source.root.name))
            while self.stack:
                fd, node, children, path = self.stack[-1]
                try:
                    child = next(children, None)
                except FAILURES as e:
                    self.report(b"/".join(parts(path)), f"directory is incomplete: {e}")
                    child = None
                if child:
                    self.entry(fd, child, (path, child.name))
                else:
                    self.stack.pop()
                    self.attempt(path, self.metadata, fd, node)
                    os.close(fd)
        os.close(self.top)

    def attempt(self, path, action, *args):
        try:
            return action(*args)
        except FAILURES as e:
            self.report(b"/".join(parts(path)), str(e))

    def entry(self, parent, node, path):
        self.attempt(path, self.make, parent, node, path)

    def make(self, parent, node, path):
        name, several = node.name, node.links > 1 and node.type != "dir"
        if several and (node.device, node.inode) in self.names_of:
            first, body = self.names_of[node.device, node.inode]
            if body == node.body:
                return self.hard_link(first, parent, name)
            self.notes["names of one file with different contents, restored as two files"] += 1
        if node.type == "dir":
            check(len(self.stack) < MAX_DEPTH, "too many directories inside one another")
            os.mkdir(name, 0o700, dir_fd=parent)
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
            self.stack.append((fd, node, self.repo.nodes(node.tree), path))
        elif node.type == "file":
            self.file(parent, node)
        elif node.type == "socket":
            self.notes["sockets left out"] += 1
            return
        else:
            if node.type == "link":
                os.symlink(node.target, name, dir_fd=parent)
            elif node.type == "fifo":
                os.mkfifo(name, 0o600, dir_fd=parent)
            else:
                kind = stat.S_IFCHR if node.type == "char" else stat.S_IFBLK
                os.mknod(name, kind | 0o600, os.makedev(node.major, node.minor), dir_fd=parent)
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW, dir_fd=parent)
            try:
                self.metadata(f"/proc/self/fd/{fd}", node)  # the thing itself, a link too, however names change
            finally:
                os.close(fd)
        if several:
            self.names_of.setdefault((node.device, node.inode), (path, node.body))

    def file(self, parent, node):
        fd = os.open(node.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
        try:
            os.ftruncate(fd, node.size)
            for blob_id, length in self.repo.extents(node):
                if blob_id is None:
                    os.lseek(fd, length, os.SEEK_CUR)
                    continue
                data, _ = self.repo.blob(blob_id, (DATA,))
                check(len(data) == length, f"blob {blob_id.hex()} has not the length of its extent")
                while data:
                    data = data[os.write(fd, data):]
            self.metadata(fd, node)
        except FAILURES:
            os.unlink(node.name, dir_fd=parent)  # rather no file than a wrong one
            raise
        finally:
            os.close(fd)

    def hard_link(self, first, parent, name):
        fd = os.dup(self.top)
        try:
            *above, last = parts(first)
            for part in above:
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = below
            os.link(last, name, src_dir_fd=fd, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(fd)

    def metadata(self, at, node):
        """Owner first (a change clears set-id bits and capabilities), then attributes while writable, mode, and time last."""
        mode = node.mode
        try:
            os.chown(at, node.uid, node.gid)
        except (OSError, OverflowError):
            self.notes["owners not restored"] += 1
            mode &= 0o1777  # a set-id bit would lend the rights of somebody else
        for name, value in node.xattrs:
            try:
                os.setxattr(at, name, value)
            except (OSError, ValueError):
                self.notes["extended attributes not restored"] += 1
        if node.type != "link":
            os.chmod(at, mode)
        ns = lambda t: t.sec * 10 ** 9 + t.nsec
        os.utime(at, ns=(ns(node.atime or node.mtime), ns(node.mtime)))
