#!/bin/sh
# Prints the spec of the .rpm:  sh spec.sh VERSION FILES SCRIPTS
# rpm counts the versions that are there where dpkg has words, so each script is told in dpkg's; a % is doubled, since rpm replaces it.
set -eu
scripts=$3
script() { sed "s|%|%%|g" "$scripts/$1"; }

cat << SPEC
%global debug_package %{nil}
%global __os_install_post %{nil}
%global _build_id_links none
%global _binary_payload %{?pantau_payload}%{!?pantau_payload:w6.xzdio}
%global use_source_date_epoch_as_buildtime 1
Name: pantau-agent
Version: $1
Release: 1
Summary: Agent of the Pantau monitoring suite
License: Apache-2.0 and Python and OpenSSL and zlib and MIT
AutoReqProv: no
Requires: glibc >= 2.17
Requires(pre): shadow-utils
%description
Collects this host's figures and sends them to the centre. Brings its own
interpreter under /opt/pantau-agent and needs no network to be installed.
%install
cp -a "$2/." "%{buildroot}/"
%files
%defattr(-,root,root,-)
/opt/pantau-agent
/usr/bin/pantau-agent
/usr/lib/systemd/system/pantau-agent.service
%doc /usr/share/doc/pantau-agent
%doc /usr/share/man/man1/pantau-agent.1.gz
/usr/share/bash-completion/completions/pantau-agent
/usr/share/zsh/vendor-completions/_pantau-agent
%pre
[ "\$1" = 1 ] && set -- install || set -- upgrade
$(script preinst)
# after the former version's own files are gone, or those would be taken from what is gone back to
%posttrans
[ -d /opt/pantau-agent/coming ] && set -- configure former || set -- configure ""
$(script postinst)
%preun
[ "\$1" = 0 ] && set -- remove || set -- upgrade
$(script prerm)
%postun
[ "\$1" = 0 ] && set -- remove || set -- upgrade
$(script postrm)
SPEC
