#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Every sentence for people is translated, and a build that is not installed shows it."""

import glob
import os
import re
import subprocess
import sys
import tempfile

import tap

PARSE_LAUNCH = os.path.abspath(sys.argv[1])
PO = os.path.join(tap.ROOT, 'po')
KEYWORDS = ('_', 'N_', 'C_:1c,2', 'NC_:1c,2', 'g_dcgettext:2', 'g_dngettext:2,3',
            'g_dpgettext2:2c,3')
MARKED = re.compile(r'(?<![A-Za-z0-9_])(?:N?_|N?C_|g_dngettext) ?\(')


def output_of(*command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True,
                          timeout=60, **options).stdout.decode()


def listed(name):
    with open(os.path.join(PO, name), encoding='utf-8') as file:
        return [line.strip() for line in file if line.strip() and not line.startswith('#')]


@tap.case('all-files-listed')
def test_all_files_listed():
    """A file with a marked string that is not in POTFILES.in is never translated."""
    found = []
    for folder in ('lib', 'gst'):
        for path in glob.glob(os.path.join(tap.ROOT, folder, '**', '*.c'), recursive=True):
            with open(path, encoding='utf-8') as file:
                if MARKED.search(file.read()):
                    found.append(os.path.relpath(path, tap.ROOT))
    files = listed('POTFILES.in')
    assert sorted(found) == sorted(files), set(found) ^ set(files)
    assert len(files) == len(set(files)), files


@tap.case('no-cut-sentences')
def test_no_cut_sentences():
    """xgettext ends a sentence where a macro follows, and what is looked up later is longer. A
    number of 64 bits is to be made a string first."""
    cut = re.compile(r'(?<![A-Za-z0-9_])N?_ ?\((?:\s*"(?:[^"\\]|\\.)*")+\s*[A-Z]')
    for name in listed('POTFILES.in'):
        with open(os.path.join(tap.ROOT, name), encoding='utf-8') as file:
            found = cut.search(file.read())
        assert not found, (name, found.group(0))


def check_language(language):
    catalogue = os.path.join(PO, language + '.po')
    with tempfile.TemporaryDirectory() as folder:
        template = os.path.join(folder, 'tandem.pot')
        merged = os.path.join(folder, 'merged.po')
        output_of('xgettext', '--from-code=UTF-8', '--files-from', os.path.join(PO, 'POTFILES.in'),
                  '--directory', tap.ROOT, '--output', template,
                  *['--keyword=' + keyword for keyword in KEYWORDS])
        # As if the catalogue had just been brought up to date.
        output_of('msgmerge', '--quiet', '--no-fuzzy-matching', '--output-file', merged,
                  catalogue, template)
        for path in (catalogue, merged):
            text = output_of('msgfmt', '--check', '--statistics', '--output-file', os.devnull, path)
            assert 'untranslated' not in text and 'fuzzy' not in text, \
                '%s: %s (ninja tandem-update-po, then translate)' % (os.path.basename(path), text)


for _language in listed('LINGUAS'):
    tap.case(_language)(lambda language=_language: check_language(language))


@tap.case('uninstalled')
def test_uninstalled():
    """In a program that has no text domain of its own: in another one, GLib translates the
    libraries only when the program is translated too."""
    environment = dict(os.environ, LC_ALL='C.UTF-8', TANDEM_LOCALEDIR=os.path.join(tap.BUILD, 'po'))
    for language, words in (('de', 'konnte nicht'), ('hi', 'खोला नहीं'), ('en', 'Could not open')):
        environment['LANGUAGE'] = language
        result = subprocess.run(
            [PARSE_LAUNCH, '--start', 'appsrc', '!', 'sentimentsink', 'location=/nowhere/results'],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
            timeout=60)
        text = result.stderr.decode()
        assert result.returncode == 1 and words in text and '/nowhere/results' in text, text


tap.run()
