"""Questions, interviews and answers, on tables small enough to do by hand."""

import numpy as np
import pytest
from mmrec_testing import events

import mmrec_lib as mm
from mmrec_lib import newcomers
from mmrec_lib.errors import DataError, NotFittedError, ParameterError, UnknownItemError, UnknownUserError
from mmrec_lib.newcomers.onboarding import events_at, greedy_order, liked, moments
from mmrec_lib.newcomers.tree import path_to

#: Four people, four things: who knows 0 knows 1 and never 3; 2 is another matter.
FOUR = events([(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 2), (2, 3), (3, 3)], 4, 4)


class TestLists:
    def test_popularity_and_its_ties(self):
        train = events([(0, 2), (1, 2), (0, 1), (1, 0)], 2, 3)
        assert newcomers.choose_questions(train, 3, "popularity").tolist() == [2, 0, 1]

    def test_greedy_takes_what_is_news(self):
        assert newcomers.choose_questions(FOUR, 3, "greedy").tolist()[:2] == [0, 2]
        assert newcomers.choose_questions(FOUR, 2, "popularity").tolist() == [0, 1]

    def test_greedy_is_the_best_single_regression(self):
        """The first question is the one whose linear prediction of everything leaves the smallest error."""
        rng = np.random.default_rng(0)
        table = rng.random((200, 6)) < rng.random((200, 1))
        train = mm.data.Interactions(*np.nonzero(table), n_users=200, n_items=6)
        y = table[table.any(axis=1)].astype(float)
        y -= y.mean(axis=0)
        errors = [np.square(y - np.outer(x, x @ y / (x @ x))).sum() for x in y.T]
        assert newcomers.choose_questions(train, 1, "greedy", noise=0)[0] == np.argmin(errors)

    def test_greedy_order_ends_when_nothing_is_left_to_know(self):
        assert sorted(greedy_order(np.zeros((3, 3)), 0.1, 3, np.arange(3))) == [0, 1, 2]

    def test_entropies_and_variance_need_different_values(self):
        values = [5, 1, 5, 5, 5, 1]
        train = mm.data.Interactions([0, 1, 0, 1, 2, 3], [0, 0, 1, 1, 1, 2], value=values, n_users=4, n_items=3)
        assert newcomers.choose_questions(train, 3, "entropy").tolist()[0] == 0  # ln 2 against 0 and 0
        assert newcomers.choose_questions(train, 3, "variance").tolist()[0] == 0
        # shares of (5, 1, nothing), weights 1, 1, 1/2: (1/4, 1/4, 1/2), (3/4, 0, 1/4), (0, 1/4, 3/4)
        assert newcomers.choose_questions(train, 3, "entropy0").tolist() == [0, 2, 1] or _entropy0_by_hand() > 0
        assert newcomers.choose_questions(train, 3, "entropy0").tolist() == list(np.argsort(-_entropy0_by_hand()))

    def test_entropy0_of_clicks_is_popularity(self):
        train = events([(0, 1), (1, 1), (2, 0), (3, 2), (4, 3)], 5, 4)
        ways = [newcomers.choose_questions(train, 4, how).tolist() for how in ("entropy0", "popularity")]
        assert ways[0] == ways[1]

    def test_coverage(self):
        train = events([(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 2), (3, 3)], 4, 4)
        # together with others: 0 -> 2^2 + 1, 1 -> 2^2, 2 -> 1, 3 -> 0
        assert newcomers.choose_questions(train, 4, "coverage").tolist() == [0, 1, 2, 3]

    def test_pool(self):
        assert newcomers.choose_questions(FOUR, 1, "popularity", pool=[3]).tolist() == [3]
        for how in newcomers.QUESTION_LISTS:
            assert set(newcomers.choose_questions(FOUR, 2, how, pool=[1, 3])) == {1, 3}

    def test_what_cannot_be(self):
        with pytest.raises(ParameterError, match="choose one of popularity"):
            newcomers.choose_questions(FOUR, 1, "fame")
        with pytest.raises(ParameterError, match="only 4 things"):
            newcomers.choose_questions(FOUR, 5)
        with pytest.raises(UnknownItemError, match="item 9"):
            newcomers.choose_questions(FOUR, 1, pool=[9])


def _entropy0_by_hand():
    def f(p):
        return -p * np.log(p) if p else 0.0

    rows = [(1 / 4, 1 / 4, 1 / 2), (3 / 4, 0, 1 / 4), (0, 1 / 4, 3 / 4)]
    return np.array([(f(a) + f(b) + 0.5 * f(c)) / 2.5 for a, b, c in rows])


class TestAnswers:
    def test_log_of_clicks(self):
        ask = newcomers.ask_log(FOUR)
        np.testing.assert_array_equal(ask(np.array([0, 3]), np.array([[0, 3], [0, 3]])), [[1, 0], [0, 1]])

    def test_log_of_ratings(self):
        rated = mm.data.Interactions([0, 0], [0, 1], value=[4, 2], n_users=1, n_items=3)
        np.testing.assert_array_equal(
            newcomers.ask_log(rated, like=4)(np.array([0]), np.array([[0, 1, 2]]))[0, :2], [1, 0]
        )
        assert np.isnan(newcomers.ask_log(rated, like=4)(np.array([0]), np.array([[2]]))).all()

    def test_empty_table(self):
        table = events([(0, 0)], 1, 2).to_csr() * 0
        table.eliminate_zeros()
        assert np.isnan(events_at(table, np.array([0]), np.array([1]))).all()

    def test_audience_says_the_same_twice_and_what_it_likes(self):
        world = mm.datasets.load("stamps", n_users=40).extras["audience"]
        ask, people = newcomers.ask_audience(world, seed=3), np.arange(40)
        items = np.tile(np.arange(200), (40, 1))
        said = ask(people, items)
        np.testing.assert_array_equal(said, ask(people, items))
        appeal = world.click_probability(people[:, None], items)
        assert abs(said.mean() - appeal.mean()) < 0.01
        assert said[appeal > 0.99].mean() > 0.95

    def test_liked(self):
        rows = liked(np.array([[2, 0], [1, 3]]), np.array([[1, 0], [np.nan, 1]]), 4)
        np.testing.assert_array_equal(rows.toarray(), [[0, 0, 1, 0], [0, 0, 0, 1]])


class TestInterview:
    @pytest.fixture
    def asked(self):
        model = mm.models.create("ease", l2=1.0).fit(FOUR)
        return newcomers.interview(newcomers.FixedQuestions([2, 0, 3], model), newcomers.ask_log(FOUR), [3, 0], 3)

    def test_what_was_asked_and_said(self, asked):
        assert asked.people.tolist() == [0, 3]
        np.testing.assert_array_equal(asked.asked, [[2, 0, 3], [2, 0, 3]])
        np.testing.assert_array_equal(asked.answers, [[1, 1, 0], [0, 0, 1]])
        np.testing.assert_allclose(asked.yes_rate(), [0.5, 0.5, 0.5])

    def test_the_model_reads_what_was_liked(self, asked):
        model = asked.interviewer.reader
        np.testing.assert_allclose(asked.score([3, 0]), model.score_histories([[3], [2, 0]]))
        np.testing.assert_allclose(asked.after(1).score([0]), model.score_histories([[2]]))
        assert asked.after(0).asked.shape == (2, 0)
        popular = model.popularity_ / model.popularity_.sum()
        np.testing.assert_allclose(asked.after(0).score([0])[0], popular)

    def test_pairs_are_left_out_of_an_evaluation(self, asked):
        pairs = asked.pairs(4, 4)
        assert sorted(zip(pairs.user.tolist(), pairs.item.tolist(), strict=True)) == [
            (u, i) for u in (0, 3) for i in (0, 2, 3)
        ]
        report = mm.evaluation.evaluate(asked, events([(0, 1)], 4, 4), train=pairs, ks=1, metrics="recall")
        assert report["recall@1"] == 1  # only item 1 is left

    def test_screens(self):
        model = mm.models.create("ease", l2=1.0).fit(FOUR)
        asked = newcomers.interview(newcomers.FixedQuestions([2, 0, 3, 1], model), newcomers.ask_log(FOUR), [0], 2, 2)
        assert asked.asked.tolist() == [[2, 0, 3, 1]]
        assert asked.after(1).asked.tolist() == [[2, 0]]
        assert asked.yes_rate().tolist() == [1, 0.5]

    def test_what_cannot_be(self, asked):
        with pytest.raises(UnknownUserError, match="user 1 was not"):
            asked.score([0, 1])
        with pytest.raises(ParameterError, match="only 3"):
            asked.after(4)
        with pytest.raises(ParameterError, match="3 questions"):
            newcomers.interview(asked.interviewer, newcomers.ask_log(FOUR), [0], 4)
        for people in ([], [0, 0]):
            with pytest.raises(DataError, match="people"):
                newcomers.interview(asked.interviewer, newcomers.ask_log(FOUR), people, 1)
        for ask in (lambda p, i: i[:, :0], lambda p, i: i * 0.0 + 0.5):
            with pytest.raises(DataError, match="answers that are 1, 0 or NaN"):
                newcomers.interview(asked.interviewer, ask, [0], 1)
        for items in ([], [1, 1]):
            with pytest.raises(ParameterError, match="items"):
                newcomers.FixedQuestions(items, asked.interviewer.reader)
        with pytest.raises(ParameterError, match="reader"):
            newcomers.FixedQuestions([1], object())


class TestGaussian:
    def test_one_answer_by_hand(self):
        model = newcomers.GaussianQuestions(noise=0.05).fit(FOUR)
        mean, covariance = moments(FOUR)
        np.testing.assert_allclose(mean, [0.5] * 4)
        np.testing.assert_allclose(covariance[0], [0.25, 0.25, 0, -0.25])
        yes, no = model.score(np.array([[0], [0]]), np.array([[1.0], [0.0]]))
        np.testing.assert_allclose(
            yes, [0.5 + 0.5 * 0.25 / 0.3, 0.5 + 0.5 * 0.25 / 0.3, 0.5, 0.5 - 0.5 * 0.25 / 0.3], 1e-5
        )
        np.testing.assert_allclose(no, 1 - yes, atol=1e-6)

    def test_do_not_know_changes_nothing(self):
        model = newcomers.GaussianQuestions().fit(FOUR)
        asked = np.array([[0, 2, 1]])
        told = model.score(asked, np.array([[1, np.nan, np.nan]]))
        np.testing.assert_allclose(told, model.score(asked[:, :1], np.array([[1.0]])), atol=1e-6)
        np.testing.assert_allclose(model.score(asked, np.full((1, 3), np.nan)), [model.mean_], atol=1e-6)

    @pytest.mark.parametrize("aim", ["reduction", "prospects"])
    def test_next_question_against_brute_force(self, aim):
        rng = np.random.default_rng(0)
        table = rng.random((80, 9)) < rng.random((80, 1)) * rng.random(9)
        train = mm.data.Interactions(*np.nonzero(table), n_users=80, n_items=9)
        model = newcomers.GaussianQuestions(aim, noise=0.1).fit(train)
        asked, answers = np.array([[2, 5], [5, 2]]), np.array([[1.0, 0.0], [1.0, np.nan]])
        for person in range(2):
            known = asked[person][~np.isnan(answers[person])]
            told = answers[person][~np.isnan(answers[person])]
            c, m = model.covariance_.astype(float), model.mean_
            gain = c[:, known] @ np.linalg.inv(c[np.ix_(known, known)] + 0.1 * np.eye(len(known)))
            left, mean = c - gain @ c[known], m + gain @ (told - m[known])
            if aim == "prospects":
                worth = mean + np.sqrt(left.diagonal())
            else:
                p = mean.clip(0.02, 0.98)
                worth = p * (1 - p) * np.square(left).sum(axis=0) / (left.diagonal() + 0.1) ** 2
            worth[asked[person]] = -np.inf
            assert model.choose(asked, answers, 1)[person, 0] == worth.argmax()

    def test_a_screen_does_not_ask_twice_about_the_same(self):
        """Things 0 and 1 are always chosen together: after one of them the other is no news."""
        baskets = [(2,), (0, 1, 2), (3,), (0, 1)]
        pairs = [(u, i) for u in range(40) for i in baskets[u % 4]]
        model = newcomers.GaussianQuestions().fit(events(pairs, 40, 4), pool=[0, 1, 2])
        first = model.choose(np.zeros((1, 0), int), np.zeros((1, 0)), 2)[0]
        assert set(first) in ({0, 2}, {1, 2})

    def test_it_adapts(self, blocks):
        model = newcomers.GaussianQuestions("prospects", optimism=0).fit(blocks)
        asked = newcomers.interview(model, newcomers.ask_log(blocks), np.arange(60), 6)
        assert len(np.unique(asked.asked[:, -1])) > 1
        own = np.argsort(-asked.score(np.arange(60)), axis=1)[:, :5] // 10 == np.arange(60)[:, None] % 3
        assert own.mean() > 0.8

    def test_content_stands_in_for_clicks(self, blocks):
        """Item 30 is new and looks like the first group: an answer about item 0 moves it with content, not without."""
        wide = mm.data.Interactions(blocks.user, blocks.item, n_users=60, n_items=31)
        look = np.zeros((31, 3))
        look[np.arange(31), np.append(np.arange(30) // 10, 0)] = 1
        content = mm.data.Features({"look": look})
        answers = np.zeros((1, 1), int), np.ones((1, 1))
        assert newcomers.GaussianQuestions().fit(wide).score(*answers)[0, 30] == pytest.approx(0, abs=1e-6)
        with_content = newcomers.GaussianQuestions(content=1.0).fit(wide, content)
        assert with_content.score(*answers)[0, 30] > 0.1
        assert 30 not in with_content.pool_
        with pytest.raises(ParameterError, match="features"):
            newcomers.GaussianQuestions(content=1.0).fit(wide)

    def test_blocks_of_people_change_nothing(self, blocks, monkeypatch):
        model = newcomers.GaussianQuestions().fit(blocks)
        asked, answers = np.tile([0, 10], (60, 1)), np.random.default_rng(0).integers(2, size=(60, 2)).astype(float)
        whole = model.score(asked, answers), model.choose(asked, answers, 3)
        monkeypatch.setattr(mm.ranking, "BLOCK_BYTES", 4 * 30 * 10 * 7)
        np.testing.assert_allclose(model.score(asked, answers), whole[0], atol=1e-6)
        np.testing.assert_array_equal(model.choose(asked, answers, 3), whole[1])

    def test_what_cannot_be(self):
        with pytest.raises(NotFittedError):
            newcomers.GaussianQuestions().score(np.zeros((1, 0), int), np.zeros((1, 0)))
        for wrong in ({"aim": "fame"}, {"noise": 0}, {"content": -1}, {"optimism": -1}):
            with pytest.raises(ParameterError, match=next(iter(wrong))):
                newcomers.GaussianQuestions(**wrong)
        model = newcomers.GaussianQuestions().fit(FOUR, pool=[0, 1])
        with pytest.raises(ParameterError, match="only 2"):
            model.choose(np.array([[0]]), np.array([[1.0]]), 2)


class TestTree:
    def test_root_divides_best(self):
        """Two tastes: who chose 0 chose 1, 2, the others 3, 4, 5; item 6 is chosen by everybody and divides nobody."""
        pairs = [(u, i) for u in range(20) for i in ((0, 1, 2, 6) if u < 10 else (3, 4, 5, 6))]
        tree = newcomers.QuestionTree(depth=2, min_people=2, smoothing=1.0).fit(events(pairs, 20, 7))
        assert tree.question_[0] in (0, 1, 2, 3, 4, 5)
        first = tree.question_[0]
        yes, rest = tree.children_[0, 0], tree.children_[0, 2]
        assert tree.people_[[0, yes, rest]].tolist() == [20, 10, 10]
        assert tree.children_[0, 1] == -1  # nobody says no to a click
        own = [0, 1, 2] if first < 3 else [3, 4, 5]
        # ten of ten, drawn towards 1/2 by one person: (10 + 0.5) / 11
        np.testing.assert_allclose(tree.forecast_[yes, own], 10.5 / 11, rtol=1e-5)
        np.testing.assert_allclose(tree.forecast_[rest, own], 0.5 / 11, rtol=1e-5)
        assert path_to(tree, int(yes)) == [(first, 0)]

    def test_best_question_against_brute_force(self):
        rng = np.random.default_rng(1)
        table = rng.random((60, 8)) < rng.random((60, 1)) * rng.random(8)
        table[:, 0] |= ~table.any(axis=1)
        tree = newcomers.QuestionTree(depth=1, min_people=1).fit(
            mm.data.Interactions(*np.nonzero(table), None, None, 60, 8)
        )

        def error(q):
            return sum(
                np.square(g - g.mean(axis=0)).sum()
                for g in (table[table[:, q]] * 1.0, table[~table[:, q]] * 1.0)
                if len(g)
            )

        assert tree.question_[0] == np.argmin([error(q) for q in range(8)])

    def test_ratings_have_three_branches(self):
        users, items, values = zip(*[(u, 0, 5 if u < 6 else 1) for u in range(12)], strict=True)
        more = [(u, 1, 5) for u in range(6)] + [(u, 2, 5) for u in range(6, 12)] + [(u, 3, 5) for u in range(12, 18)]
        users, items, values = map(np.append, (users, items, values), zip(*more, strict=True))
        train = mm.data.Interactions(users, items, values, n_users=18, n_items=4)
        tree = newcomers.QuestionTree(depth=1, min_people=3, smoothing=0.1, like=4).fit(train)
        assert tree.question_[0] == 0
        answers = np.array([[1.0], [0.0], [np.nan]])
        best = tree.score(np.zeros((3, 1), int), answers)[:, 1:].argmax(axis=1)
        assert best.tolist() == [0, 1, 2]

    def test_newcomers_find_their_group(self, blocks):
        tree = newcomers.QuestionTree(depth=4, min_people=3).fit(blocks)
        asked = newcomers.interview(tree, newcomers.ask_log(blocks), np.arange(60), 4)
        own = np.argsort(-asked.score(np.arange(60)), axis=1)[:, :5] // 10 == np.arange(60)[:, None] % 3
        assert own.mean() > 0.7
        assert (np.sort(asked.asked, axis=1)[:, 1:] != np.sort(asked.asked, axis=1)[:, :-1]).all()  # nothing twice

    def test_no_and_unknown_go_together_for_clicks(self, blocks):
        tree = newcomers.QuestionTree(depth=1, min_people=3).fit(blocks)
        question = np.full((2, 1), tree.question_[0])
        no, unknown = tree.nodes(question, np.array([[0.0], [np.nan]]))
        assert no == unknown == tree.children_[0, 2]

    def test_what_cannot_be(self, blocks):
        with pytest.raises(NotFittedError):
            newcomers.QuestionTree().score(np.zeros((1, 0), int), np.zeros((1, 0)))
        for wrong in ({"depth": 0}, {"min_people": 0}, {"smoothing": 0}):
            with pytest.raises(ParameterError, match=next(iter(wrong))):
                newcomers.QuestionTree(**wrong)
        with pytest.raises(ParameterError, match="one thing at a time"):
            newcomers.QuestionTree(1, 3).fit(blocks).choose(np.zeros((1, 0), int), np.zeros((1, 0)), 2)


class TestGroups:
    def test_by_hand(self):
        """Group a: two people who met 0; group b: two who met 1; two people of everybody's taste are added."""
        groups = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [1, 1], [0, 0]])
        train = events([(0, 0), (1, 0), (2, 1), (3, 1)], 6, 2)
        model = newcomers.GroupPopularity(smoothing=2).fit(train, groups)
        np.testing.assert_allclose(model.score([0, 2]), [[0.75, 0.25], [0.25, 0.75]])
        np.testing.assert_allclose(model.score([4, 5]), [[0.5, 0.5], [0.5, 0.5]])

    def test_what_cannot_be(self):
        with pytest.raises(NotFittedError):
            newcomers.GroupPopularity().score([0])
        for groups in (np.ones((3, 1)), np.full((4, 1), 0.5)):
            with pytest.raises(DataError, match="4 rows"):
                newcomers.GroupPopularity().fit(FOUR, groups)
        with pytest.raises(ParameterError, match="smoothing"):
            newcomers.GroupPopularity(-1)
