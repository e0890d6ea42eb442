"""Tiny pretrained models with random weights in folders, in exactly the form in which the hub publishes real ones."""

from __future__ import annotations

import string

import pytest

SMALL = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
_LETTERS = string.ascii_lowercase
_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS, *(f"##{letter}" for letter in _LETTERS)]


def _tokenizer(folder, longest: int = 32):
    """WordPiece over single letters, so that every Latin word has a few tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: code for code, word in enumerate(_WORDS)}
    raw = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    raw.normalizer, raw.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=raw, model_max_length=longest, **special).save_pretrained(folder)


def _text_part() -> dict:
    return {**SMALL, "vocab_size": len(_WORDS), "max_position_embeddings": 32, "eos_token_id": 3, "pad_token_id": 0}


def _bert(folder):
    from transformers import BertConfig, BertModel

    BertModel(BertConfig(**_text_part())).save_pretrained(folder)
    _tokenizer(folder)


def _gpt2(folder):
    from transformers import GPT2Config, GPT2Model

    config = GPT2Config(vocab_size=len(_WORDS), n_positions=32, n_embd=16, n_layer=2, n_head=2)
    GPT2Model(config).save_pretrained(folder)
    _tokenizer(folder)


def _vit(folder):
    from transformers import ViTConfig, ViTImageProcessor, ViTModel

    ViTModel(ViTConfig(**SMALL, image_size=32, patch_size=8)).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def _clip(folder):
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    picture = {**SMALL, "image_size": 32, "patch_size": 8}
    CLIPModel(CLIPConfig(text_config=_text_part(), vision_config=picture, projection_dim=12)).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    _tokenizer(folder)


def _siglip(folder):
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    text = {**_text_part(), "max_position_embeddings": 16, "projection_size": 16}
    picture = {**SMALL, "image_size": 32, "patch_size": 8}
    SiglipModel(SiglipConfig(text_config=text, vision_config=picture)).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    _tokenizer(folder, longest=16)


def _ast(folder):
    from transformers import ASTConfig, ASTFeatureExtractor, ASTModel

    ASTModel(ASTConfig(**SMALL, max_length=64, num_mel_bins=16)).save_pretrained(folder)
    ASTFeatureExtractor(max_length=64, num_mel_bins=16).save_pretrained(folder)


def _wav2vec2(folder):
    from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2Model

    layers = {"conv_dim": (8, 8), "conv_stride": (5, 4), "conv_kernel": (10, 8), "num_feat_extract_layers": 2}
    positions = {"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2}
    Wav2Vec2Model(Wav2Vec2Config(**SMALL, **layers, **positions)).save_pretrained(folder)
    Wav2Vec2FeatureExtractor().save_pretrained(folder)


def _clap(folder):
    from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

    sound = {
        "spec_size": 64, "num_mel_bins": 16, "patch_size": 4, "patch_stride": [4, 4], "window_size": 4,
        "depths": [1, 1], "hidden_size": 32, "patch_embeds_hidden_size": 16, "num_attention_heads": [2, 2],
        "num_hidden_layers": 2,
    }  # fmt: skip
    text = {**_text_part(), "max_position_embeddings": 40, "projection_dim": 12}
    ClapModel(ClapConfig(text_config=text, audio_config=sound, projection_dim=12)).save_pretrained(folder)
    ClapFeatureExtractor(feature_size=16, max_length_s=1, sampling_rate=48_000).save_pretrained(folder)
    _tokenizer(folder)


def _videomae(folder):
    from transformers import VideoMAEConfig, VideoMAEImageProcessor, VideoMAEModel

    VideoMAEModel(VideoMAEConfig(**SMALL, image_size=32, patch_size=8, num_frames=4)).save_pretrained(folder)
    VideoMAEImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)


_MAKERS = {
    "bert": _bert, "gpt2": _gpt2, "vit": _vit, "clip": _clip, "siglip": _siglip,
    "ast": _ast, "wav2vec2": _wav2vec2, "clap": _clap, "videomae": _videomae,
}  # fmt: skip


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory):
    """``tiny_model("bert")``: the folder of a model of that kind, made once."""
    made = {}

    def get(kind: str) -> str:
        if kind not in made:
            import torch

            folder = tmp_path_factory.mktemp(f"tiny-{kind}")
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                _MAKERS[kind](folder)
            made[kind] = str(folder)
        return made[kind]

    return get
